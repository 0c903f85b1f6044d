#include "base/names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

/* ---- SipHash-1-3, Aumasson and Bernstein 2012, section 2 ---- */

static uint64_t rotate(uint64_t x, unsigned bits) {
        return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4]) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
}

static void sip_block(uint64_t v[4], uint64_t block) {
        v[3] ^= block;
        sip_round(v);
        v[0] ^= block;
}

static uint64_t hash_of(const char *name) {
        /* 16 bytes that the kernel drew for this process. */
        const void *random = (const void *)(uintptr_t)getauxval(AT_RANDOM);
        uint64_t key[2] = {0}, v[4], last = 0;
        size_t n = strlen(name), i = 0;

        if (random)
                memcpy(key, random, sizeof(key));
        v[0] = key[0] ^ 0x736f6d6570736575;
        v[1] = key[1] ^ 0x646f72616e646f6d;
        v[2] = key[0] ^ 0x6c7967656e657261;
        v[3] = key[1] ^ 0x7465646279746573;
        for (; i + 8 <= n; i += 8) {
                uint64_t block;

                memcpy(&block, name + i, sizeof(block));
                sip_block(v, block);
        }
        memcpy(&last, name + i, n - i);
        sip_block(v, last | (uint64_t)n << 56);
        v[2] ^= 0xff;
        for (int k = 0; k < 3; k++)
                sip_round(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- the table ---- */

int names_init(struct names *names, size_t n_max, struct error *error) {
        size_t n_slots = 64, wanted;
        struct names_entry *entries;

        if (!size_multiply(&wanted, n_max, 2) || wanted > SIZE_MAX / 2)
                return error_no_memory(error);
        while (n_slots < wanted)
                n_slots *= 2;
        entries = calloc(n_slots, sizeof(*entries));
        if (!entries)
                return error_no_memory(error);
        *names = (struct names){.entries = entries, .n_slots = n_slots, .n_max = n_max};
        return 0;
}

void names_release(struct names *names) {
        free(names->entries);
        *names = (struct names){0};
}

/* The entry of name, or the free one where it belongs. */
static struct names_entry *slot_of(const struct names *names, const char *name, uint64_t hash) {
        for (size_t i = hash;; i++) {
                struct names_entry *entry = &names->entries[i & (names->n_slots - 1)];

                if (!entry->name || (entry->hash == hash && strcmp(entry->name, name) == 0))
                        return entry;
        }
}

bool names_add(struct names *names, const char *name, uint32_t number) {
        uint64_t hash = hash_of(name);
        struct names_entry *entry = slot_of(names, name, hash);

        if (entry->name || names->n == names->n_max)
                return false;
        *entry = (struct names_entry){.name = name, .hash = hash, .number = number};
        names->n++;
        return true;
}

bool names_find(const struct names *names, const char *name, uint32_t *ret_number) {
        const struct names_entry *entry = slot_of(names, name, hash_of(name));

        if (!entry->name)
                return false;
        *ret_number = entry->number;
        return true;
}

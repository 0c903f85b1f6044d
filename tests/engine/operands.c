#include "operands.h"

#include <check.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MARK 0xa5

static uint64_t state;

void draw_seed(uint64_t seed) {
        state = seed;
}

uint32_t draw(uint32_t below) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return (uint32_t)(state >> 33) % below;
}

float draw_float(void) {
        return (float)draw(1u << 20) / (float)(1u << 19) - 1;
}

struct bytes_real draw_real(void) {
        float scale = (1.5f + draw_float()) / 64;

        return (struct bytes_real){.scale = draw(2) ? scale : 1.f / (float)(16u << draw(4)),
                                   .zero = (int32_t)draw(256)};
}

void guarded_free(struct guarded *g) {
        if (g->mapping)
                munmap(g->mapping, g->mapping_bytes);
}

struct guarded guarded_new(size_t bytes) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (bytes + page - 1) / page * page;
        struct guarded g = {.mapping_bytes = body + page};

        g.mapping = mmap(NULL, g.mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert(g.mapping != MAP_FAILED);
        ck_assert_int_eq(mprotect((char *)g.mapping + body, page, PROT_NONE), 0);
        g.bytes = (unsigned char *)g.mapping + body - bytes;
        memset(g.bytes, MARK, bytes);
        return g;
}

struct guarded guarded_random(size_t bytes) {
        struct guarded g = guarded_new(bytes + OPERANDS_SLACK);
        bool largest = draw(3) == 0;

        for (size_t i = 0; i < bytes; i++)
                g.bytes[i] = largest ? 255 : (unsigned char)draw(256);
        return g;
}

void guarded_check_gaps(const struct guarded *g, size_t pixels, size_t pixel_bytes, size_t used_bytes) {
        for (size_t p = 0; p < pixels; p++)
                for (size_t i = used_bytes; i < pixel_bytes; i++)
                        ck_assert_uint_eq(g->bytes[p * pixel_bytes + i], MARK);
}

static double integer_of(struct bytes_real real, double y) {
        return fmin(fmax(rint(y / (double)real.scale) + real.zero, 0), 255);
}

void check_integer(struct bytes_real real, double y, double got) {
        double wiggle = 1e-3 * (double)real.scale;

        ck_assert_msg(got >= integer_of(real, y - wiggle) && got <= integer_of(real, y + wiggle),
                      "%g is not %g", got, y / (double)real.scale + real.zero);
}

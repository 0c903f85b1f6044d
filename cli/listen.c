#include "cli/listen.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int bad_listen(const char *text, const char *why, struct error *error) {
        return error_set(
                error, ERROR_INVALID,
                "--listen '%.100s': %s; write HOST:PORT, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080",
                text, why);
}

int listen_parse(char ret_host[LISTEN_HOST_MAX], uint16_t *ret_port, const char *text, struct error *error) {
        const char *colon = strrchr(text, ':'), *begin = text;
        unsigned char address[sizeof(struct in6_addr)];
        char host[LISTEN_HOST_MAX];
        unsigned long port;
        bool bracketed;
        size_t size;

        if (!colon)
                return bad_listen(text, "no ':' before the port", error);
        if (colon[1] == 0 || strlen(colon + 1) > 5 || colon[1 + strspn(colon + 1, "0123456789")] != 0)
                return bad_listen(text, "the port is no number", error);
        port = strtoul(colon + 1, NULL, 10);
        if (port > UINT16_MAX)
                return bad_listen(text, "the port is beyond 65535", error);

        size = (size_t)(colon - text);
        bracketed = size >= 2 && text[0] == '[' && text[size - 1] == ']';
        if (bracketed) {
                begin++;
                size -= 2;
        }
        if (size == 0)
                return bad_listen(text, "the address is missing", error);
        if (size >= sizeof(host))
                return bad_listen(text, "the address is too long", error);
        memcpy(host, begin, size);
        host[size] = 0;

        if (!bracketed && strcmp(host, "localhost") == 0)
                strcpy(host, "127.0.0.1");
        if (!bracketed && strchr(host, ':'))
                return bad_listen(text, "an IPv6 address needs brackets", error);
        if (inet_pton(bracketed ? AF_INET6 : AF_INET, host, address) != 1)
                return bad_listen(text, "not an IP address", error);
        strcpy(ret_host, host);
        *ret_port = (uint16_t)port;
        return 0;
}

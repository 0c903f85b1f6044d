#include "cli/top/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"

#define SCHEME "http://"

static int bad_url(const char *text, const char *why, struct error *error) {
        return error_set(
                error, ERROR_INVALID,
                "'%.200s': %s; write HOST:PORT or http://HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080",
                text, why);
}

/* Nothing that could end the request line or a header, or that belongs escaped. */
static bool is_plain(const char *text, const char *also_bad) {
        for (; *text; text++)
                if (*text <= ' ' || *text >= 0x7f || strchr(also_bad, *text))
                        return false;
        return true;
}

/* Takes "host", "host:port", "[v6]", "[v6]:port" or "v6" apart; *ret_port is what follows the colon, or
 * NULL. */
static const char *split_host(struct url *url, const char *authority, const char **ret_port) {
        struct in6_addr address;
        const char *end;

        *ret_port = NULL;
        if (*authority == '[') {
                end = strchr(authority, ']');
                if (!end || (end[1] != 0 && end[1] != ':'))
                        return "the brackets of an IPv6 address do not match";
                memcpy(url->host, authority + 1, (size_t)(end - authority - 1));
                url->host[end - authority - 1] = 0;
                if (inet_pton(AF_INET6, url->host, &address) != 1)
                        return "no IPv6 address in the brackets";
                if (end[1] == ':')
                        *ret_port = end + 2;
                return NULL;
        }
        strcpy(url->host, authority);
        if (inet_pton(AF_INET6, authority, &address) == 1)
                return NULL;
        end = strchr(authority, ':');
        if (!end)
                return NULL;
        if (strchr(end + 1, ':'))
                return "more than one ':', and no IPv6 address";
        url->host[end - authority] = 0;
        *ret_port = end + 1;
        return NULL;
}

static bool port_is_sound(const char *port) {
        return *port && strlen(port) <= 5 && port[strspn(port, "0123456789")] == 0 && atoi(port) > 0 &&
               atoi(port) <= UINT16_MAX;
}

int url_parse(struct url *ret_url, const char *text, struct error *error) {
        const char *begin = text, *path, *port, *why;
        char authority[URL_HOST_MAX];
        struct url url;
        bool scheme = strncasecmp(text, SCHEME, strlen(SCHEME)) == 0, v6;
        size_t size;

        if (strncasecmp(text, "https://", 8) == 0)
                return bad_url(text, "TLS is not spoken here, so ask the server itself and not its proxy",
                               error);
        if (scheme)
                begin += strlen(SCHEME);
        else if (strstr(text, "://"))
                return bad_url(text, "only http:// is spoken here", error);
        path = begin + strcspn(begin, "/?#");
        size = (size_t)(path - begin);
        if (size == 0)
                return bad_url(text, "the host is missing", error);
        if (size >= sizeof(authority) || strlen(path) >= sizeof(url.path))
                return bad_url(text, "too long", error);
        memcpy(authority, begin, size);
        authority[size] = 0;
        if (strchr(authority, '@'))
                return bad_url(text, "user names are not sent", error);
        if (!is_plain(authority, "\"<>\\^`{|}%") || !is_plain(path, "\"<>\\^`{|}#"))
                return bad_url(text, "a blank, a '#' or another character that no URL has", error);

        why = split_host(&url, authority, &port);
        if (why)
                return bad_url(text, why, error);
        if (!*url.host)
                return bad_url(text, "the host is missing", error);
        if (!port)
                port = scheme ? "80" : "8080";
        if (!port_is_sound(port))
                return bad_url(text, "the port is no number from 1 to 65535", error);
        strcpy(url.port, port);
        v6 = strchr(url.host, ':') != NULL;
        snprintf(url.authority, sizeof(url.authority), "%s%s%s:%s", v6 ? "[" : "", url.host, v6 ? "]" : "",
                 url.port);
        strcpy(url.path, *path == 0 || strcmp(path, "/") == 0 ? "/metrics" : path);
        if (*url.path == '?')
                return bad_url(text, "the path before '?' is missing", error);
        *ret_url = url;
        return 0;
}

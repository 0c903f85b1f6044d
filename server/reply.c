#include "server/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/macros.h"

void reply_header(struct reply *reply, const char *name, const char *format, ...) {
        va_list args;

        if (reply->n_headers == REPLY_MAX_HEADERS)
                return;
        reply->headers[reply->n_headers].name = name;
        va_start(args, format);
        vsnprintf(reply->headers[reply->n_headers].value, REPLY_VALUE_MAX, format, args);
        va_end(args);
        reply->n_headers++;
}

void reply_borrow(struct reply *reply, unsigned status, const char *content_type, const void *text,
                  size_t size) {
        reply->status = status;
        reply->content_type = content_type;
        reply->text = text;
        reply->size = size;
        reply->owned = NULL;
}

void reply_own(struct reply *reply, unsigned status, const char *content_type, char *text, size_t size) {
        reply_borrow(reply, status, content_type, text, size);
        reply->owned = text;
}

void reply_problem(struct reply *reply, const struct problem *problem) {
        static const char no_memory[] = "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
                                        "\"status\":500,\"detail\":\"the server is out of memory\"}";
        char *text;
        size_t size;

        if (problem_to_json(&text, &size, problem, NULL) >= 0)
                reply_own(reply, (unsigned)problem_status(problem->type), PROBLEM_CONTENT_TYPE, text, size);
        else
                reply_borrow(reply, 500, PROBLEM_CONTENT_TYPE, no_memory, sizeof(no_memory) - 1);
}

void reply_release(struct reply *reply) {
        free(reply->owned);
        *reply = (struct reply){0};
}

static const char *reason_phrase(unsigned status) {
        switch (status) {
        case 400:
                return "Bad Request";
        case 408:
                return "Request Timeout";
        case 413:
                return "Content Too Large";
        case 429:
                return "Too Many Requests";
        case 431:
                return "Request Header Fields Too Large";
        case 503:
                return "Service Unavailable";
        default:
                return ""; /* RFC 9112 section 4: clients should ignore it, and it may be empty */
        }
}

void reply_send(const struct reply *reply, int fd, const char *request_id) {
        _cleanup_(freep) char *text = NULL;
        time_t now = time(NULL);
        char date[64] = "";
        size_t size = 0;
        struct tm tm;
        FILE *f;

        f = open_memstream(&text, &size);
        if (!f)
                return;
        if (gmtime_r(&now, &tm))
                strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        fprintf(f, "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n", reply->status,
                reason_phrase(reply->status), date);
        fprintf(f, "Content-Type: %s\r\nContent-Length: %zu\r\nX-Content-Type-Options: nosniff\r\n",
                reply->content_type, reply->size);
        if (request_id)
                fprintf(f, "X-Request-ID: %s\r\n", request_id);
        for (size_t i = 0; i < reply->n_headers; i++)
                fprintf(f, "%s: %s\r\n", reply->headers[i].name, reply->headers[i].value);
        fputs("\r\n", f);
        fwrite(reply->text, 1, reply->size, f);
        if (fclose(f) == 0)
                (void)!send(fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

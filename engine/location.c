#include "engine/location.h"

#include <stddef.h>
#include <string.h>

bool location_is_inside(const char *location) {
        for (const char *p = location; *p;) {
                size_t n = strcspn(p, "/");

                if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
                        return false;
                p += n + (p[n] == '/');
        }
        return location[0] != '\0' && strchr(location, '\\') == NULL;
}

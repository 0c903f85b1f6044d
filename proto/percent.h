#pragma once
/* percent: '%XX' escapes (RFC 3986, section 2.1). Thread safe. Inside of proto/ only. */
#include <stddef.h>

/* The byte that the two hexadecimal digits after a '%' name, 0 to 255, or -1 where they are none. text: what
 * follows the '%'; where that ends in zero, size may be 2 without looking. */
int percent_byte(const char *text, size_t size);

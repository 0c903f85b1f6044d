#include "server/page.h"

/* From page.S. */
extern const unsigned char server_page[], server_page_end[];

struct blob page_html(void) {
        return blob_borrow(server_page, (size_t)(server_page_end - server_page));
}

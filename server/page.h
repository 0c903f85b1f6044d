#pragma once
/* page: server/page.html, linked into the program. */
#include "base/blob.h"

struct blob page_html(void);

#pragma once
/* notify: tells the service manager how the server is, by the protocol of sd_notify(3). */

/* state: "READY=1", "STOPPING=1", ... Does nothing where no service manager asked for it. */
void notify_manager(const char *state);

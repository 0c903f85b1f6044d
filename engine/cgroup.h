#pragma once
/*
 * cgroup: the CPU quota of the control groups that hold this process.
 *
 * A quota may stand at any level: a Kubernetes pod's group holds the container's, and the tighter one
 * counts. The files are the kernel's, but a container may have mounted something odd over them: whatever
 * does not parse counts as "no limit". Thread safe; reads files, so call it at start and not for each
 * request.
 */

/*
 * CPUs that the quotas allow, rounded up; 0 where there is no quota.
 * root: "" for the running system, or a directory that has proc/self/cgroup, proc/self/mountinfo and the
 * mounted hierarchies below it (tests).
 */
unsigned cgroup_cpu_limit(const char *root);

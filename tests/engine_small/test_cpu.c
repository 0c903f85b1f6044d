/* Control groups are directories of small files, so a temporary directory can be any machine. What the files
 * say is in the kernel's Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst. */
#include <check.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "engine/cgroup.h"
#include "engine/cpu.h"

#define MOUNT_V2 "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V1                                                                                            \
        "32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"                                 \
        "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"              \
        "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"

static char root[64];

static void make_root(void) {
        strcpy(root, "/tmp/saccade-cpu-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
}

static int remove_entry(const char *path, _unused_ const struct stat *st, _unused_ int type,
                        _unused_ struct FTW *ftw) {
        return remove(path);
}

static void remove_root(void) {
        nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text) {
        char full[512];
        FILE *file;

        snprintf(full, sizeof(full), "%s%s", root, path);
        for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
                *slash = 0;
                mkdir(full, 0755);
                *slash = '/';
        }
        file = fopen(full, "w");
        ck_assert_ptr_nonnull(file);
        fputs(text, file);
        ck_assert_int_eq(fclose(file), 0);
}

START_TEST(no_proc_means_no_limit) {
        ck_assert_uint_eq(cgroup_cpu_limit(root), 0);
        put("/proc/self/cgroup", "0::/a\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 0);
}
END_TEST

START_TEST(v2_quota_is_rounded_up) {
        put("/proc/self/mountinfo", MOUNT_V2);
        put("/proc/self/cgroup", "0::/a\n");
        put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 0);
        put("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 2);
        put("/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 1);
        put("/sys/fs/cgroup/a/cpu.max", "300000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 3);
}
END_TEST

START_TEST(v2_tightest_level_up_to_the_root_counts) {
        put("/proc/self/mountinfo", MOUNT_V2);
        put("/proc/self/cgroup", "0::/pods/pod1/container\n");
        put("/sys/fs/cgroup/pods/pod1/container/cpu.max", "800000 100000\n");
        put("/sys/fs/cgroup/pods/pod1/cpu.max", "max 100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 8);
        put("/sys/fs/cgroup/pods/cpu.max", "500000 100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 5);
        put("/sys/fs/cgroup/cpu.max", "200000 50000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 4);
}
END_TEST

START_TEST(v2_inside_a_namespace_the_mount_itself_is_the_group) {
        put("/proc/self/mountinfo", MOUNT_V2);
        put("/proc/self/cgroup", "0::/\n");
        put("/sys/fs/cgroup/cpu.max", "700000 100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 7);
        /* A process that was moved out of its namespace. */
        put("/proc/self/cgroup", "0::/../other\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 7);
}
END_TEST

START_TEST(v1_quota_and_period_are_read_from_the_cpu_hierarchy) {
        put("/proc/self/mountinfo", MOUNT_V1);
        put("/proc/self/cgroup", "9:cpuset:/wrong\n4:cpu,cpuacct:/a/b\n0::/\n");
        put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
        put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 0);
        put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
        put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 3);
        put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "200000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 2);
}
END_TEST

START_TEST(v1_container_that_mounts_only_its_own_group) {
        put("/proc/self/mountinfo",
            "33 31 0:30 /docker/0123 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
        put("/proc/self/cgroup", "4:cpu:/docker/0123\n");
        put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "600000\n");
        put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 6);
        put("/proc/self/cgroup", "4:cpu:/docker/0123/inner\n");
        put("/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "100000\n");
        put("/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 1);
        /* "/docker/01234" does not lie below "/docker/0123". */
        put("/proc/self/cgroup", "4:cpu:/docker/01234\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 6);
}
END_TEST

START_TEST(mount_points_with_spaces_are_unescaped) {
        put("/proc/self/mountinfo", "31 23 0:28 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
        put("/proc/self/cgroup", "0::/a\n");
        put("/my groups/a/cpu.max", "400000 100000\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 4);
}
END_TEST

START_TEST(what_does_not_parse_is_no_limit) {
        static const char *const odd[] = {
                "",
                "\n",
                "max",
                "-5 100000\n",
                "0 100000\n",
                "100000 0\n",
                "100000 x\n",
                "100000 100000 7\n",
                "99999999999999999999999999 100000\n",
                "0x10 100000\n",
                "1e5 100000\n",
                " 100000\n",
        };

        put("/proc/self/mountinfo", MOUNT_V2);
        put("/proc/self/cgroup", "0::/a\n");
        for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
                put("/sys/fs/cgroup/a/cpu.max", odd[i]);
                ck_assert_msg(cgroup_cpu_limit(root) == 0, "'%s'", odd[i]);
        }
        put("/sys/fs/cgroup/a/cpu.max", "18446744073709551615 1\n");
        ck_assert_uint_eq(cgroup_cpu_limit(root), 2147483647u);
}
END_TEST

START_TEST(odd_process_and_mount_files_are_survived) {
        static const char *const odd[] = {"",
                                          "\n\n",
                                          ":",
                                          "::",
                                          "0:",
                                          "0::",
                                          "0::relative\n",
                                          "no colons here",
                                          "31 23 0:28 / - - - - -\n",
                                          "- - - - - - - - - -",
                                          "31 23 0:28 /"};

        for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
                for (size_t j = 0; j < ARRAY_SIZE(odd); j++) {
                        put("/proc/self/cgroup", odd[i]);
                        put("/proc/self/mountinfo", odd[j]);
                        ck_assert_uint_eq(cgroup_cpu_limit(root), 0);
                }
}
END_TEST

START_TEST(path_as_long_as_paths_can_be_is_survived) {
        _cleanup_(freep) char *text = malloc(20000);

        memcpy(text, "0::", 3);
        for (size_t i = 3; i < 19999; i += 2)
                memcpy(text + i, "/a", 2);
        text[19999] = 0;
        put("/proc/self/mountinfo", MOUNT_V2);
        put("/proc/self/cgroup", text);
        ck_assert_uint_eq(cgroup_cpu_limit(root), 0);
}
END_TEST

START_TEST(cpu_count_follows_the_affinity_mask) {
        cpu_set_t before, one;
        int cpu = 0;

        ck_assert_int_eq(sched_getaffinity(0, sizeof(before), &before), 0);
        ck_assert_uint_ge(cpu_count(), 1);
        ck_assert_uint_le(cpu_count(), (unsigned)CPU_COUNT(&before));
        while (!CPU_ISSET(cpu, &before))
                cpu++;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
        ck_assert_uint_eq(cpu_count(), 1);
        ck_assert_int_eq(sched_setaffinity(0, sizeof(before), &before), 0);
}
END_TEST

START_TEST(isa_has_a_name) {
        ck_assert_ptr_nonnull(cpu_isa());
        ck_assert_uint_gt(strlen(cpu_isa()), 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("cpu");
        TCase *tcase = tcase_create("cpu");
        SRunner *runner = srunner_create(suite);
        int n_failed;

        tcase_add_checked_fixture(tcase, make_root, remove_root);
        tcase_add_test(tcase, no_proc_means_no_limit);
        tcase_add_test(tcase, v2_quota_is_rounded_up);
        tcase_add_test(tcase, v2_tightest_level_up_to_the_root_counts);
        tcase_add_test(tcase, v2_inside_a_namespace_the_mount_itself_is_the_group);
        tcase_add_test(tcase, v1_quota_and_period_are_read_from_the_cpu_hierarchy);
        tcase_add_test(tcase, v1_container_that_mounts_only_its_own_group);
        tcase_add_test(tcase, mount_points_with_spaces_are_unescaped);
        tcase_add_test(tcase, what_does_not_parse_is_no_limit);
        tcase_add_test(tcase, odd_process_and_mount_files_are_survived);
        tcase_add_test(tcase, path_as_long_as_paths_can_be_is_survived);
        tcase_add_test(tcase, cpu_count_follows_the_affinity_mask);
        tcase_add_test(tcase, isa_has_a_name);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}

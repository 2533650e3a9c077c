/*
 * log_kernels.h: the lines about kernels that are not used.
 *
 * One for each variant that would have been chosen: an error if its self-test failed, since the processor, the compiler or a
 * library is not what we believe; a warning if the setting `kernels` left it out.
 */
#ifndef SERVER_DAEMON_LOG_KERNELS_H
#define SERVER_DAEMON_LOG_KERNELS_H

#include "core/kernel/kernels.h"

void log_kernels_refused(const struct kernel_report *report);

#endif

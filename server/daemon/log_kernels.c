/* log_kernels.c: the lines about kernels that are not used. */
#include "server/daemon/log_kernels.h"

#include "server/daemon/log.h"

void log_kernels_refused(const struct kernel_report *report)
{
    for (int i = 0; i < report->n_refused; i++) {
        const struct kernel_variant *variant = report->refused[i].variant;
        log_event(report->refused[i].why == KERNEL_FAILED ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "kernel_not_used",
                  "family=%s variant=%s text=%s", variant->family_name, variant->name,
                  kernel_refusal_text(report->refused[i].why));
    }
}

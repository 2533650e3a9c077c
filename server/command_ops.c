/* command_ops.c: the table of claims. */
#include <stdio.h>
#include <string.h>

#include "core/op/op_list.h"
#include "server/command.h"

static void type_names(unsigned types, char *ret, size_t room)
{
    ret[0] = '\0';
    for (int type = DTYPE_F32; type < DTYPE_COUNT; type++) {
        if ((types & DTYPE_BIT(type)) != 0) {
            size_t used = strlen(ret);
            (void)snprintf(ret + used, room - used, "%s%s", used == 0 ? "" : ",", dtype_name((enum dtype)type));
        }
    }
}

int command_ops(int argc, char **argv)
{
    (void)argv;
    if (argc > 0) {
        (void)fprintf(stderr, "arcfaced: ops takes no arguments\n");
        return EXIT_USAGE;
    }
    (void)printf("%-16s %-24s %-8s %-6s %s\n", "domain", "operator", "opset", "ranks", "types of the first input");
    for (int i = 0; i < op_count(); i++) {
        const struct op_def *op = op_at(i);
        char types[128];
        char opsets[24];
        char ranks[24];
        type_names(op->types, types, sizeof types);
        (void)snprintf(opsets, sizeof opsets, "%d-%d", op->opset_min, op->opset_max);
        (void)snprintf(ranks, sizeof ranks, "%d-%d", op->min_rank, op->max_rank);
        (void)printf("%-16s %-24s %-8s %-6s %s\n", op->domain[0] == '\0' ? "ai.onnx" : op->domain, op->name, opsets,
                     ranks, types);
    }
    return EXIT_DONE;
}

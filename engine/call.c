#include <stdlib.h>
#include <string.h>

#include "engine/kernel_internal.h"

struct call {
        const struct kernel *kernel;
        dnnl_stream_t stream;
        int n_args;
        dnnl_exec_arg_t args[KERNEL_MAX_ARGS + 1]; /* and the scratchpad */
        void *addresses[KERNEL_MAX_ARGS + 1];      /* and the scratchpad */
};

static int call_bind(struct call *call, int role, const struct layout *layout, void *address,
                     struct error *error) {
        dnnl_memory_t memory;
        dnnl_status_t status;

        status = dnnl_memory_create(&memory, &layout->md, call->kernel->kernels->engine, address);
        if (status != dnnl_success)
                return dnnl_failed(status, "memory", error);
        call->args[call->n_args++] = (dnnl_exec_arg_t){.arg = role, .memory = memory};
        return 0;
}

int call_new(struct call **ret_call, const struct kernel *kernel, void *const *addresses, void *scratch,
             struct error *error) {
        _cleanup_(call_freep) struct call *call = calloc(1, sizeof(*call));
        dnnl_status_t status;
        int r;

        if (!call)
                return error_no_memory(error);
        call->kernel = kernel;
        memcpy(call->addresses, addresses, kernel->n_args * sizeof(*addresses));
        call->addresses[kernel->n_args] = scratch;
        if (kernel->primitive) {
                status = dnnl_stream_create(&call->stream, kernel->kernels->engine,
                                            dnnl_stream_default_flags);
                if (status != dnnl_success)
                        return dnnl_failed(status, "stream", error);
                for (size_t i = 0; i < kernel->n_args; i++) {
                        r = call_bind(call, kernel->args[i].role, kernel->args[i].layout, addresses[i],
                                      error);
                        if (r < 0)
                                return r;
                }
                if (kernel->scratch) {
                        r = call_bind(call, DNNL_ARG_SCRATCHPAD, kernel->scratch, scratch, error);
                        if (r < 0)
                                return r;
                }
        }
        *ret_call = steal_ptr(&call);
        return 0;
}

void call_free(struct call *call) {
        for (int i = 0; i < call->n_args; i++)
                dnnl_memory_destroy(call->args[i].memory);
        if (call->stream)
                dnnl_stream_destroy(call->stream);
        free(call);
}

int call_execute(struct call *call, struct error *error) {
        dnnl_status_t status;

        if (!call->kernel->primitive) {
                call->kernel->native(call->kernel->params, call->addresses);
                return 0;
        }
        status = dnnl_primitive_execute(call->kernel->primitive, call->stream, call->n_args, call->args);
        if (status != dnnl_success)
                return dnnl_failed(status, call->kernel->name, error);
        return 0;
}

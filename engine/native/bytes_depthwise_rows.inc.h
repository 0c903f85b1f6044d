/* depthwise on bytes: rows of outputs, all channels of each. After bytes_depthwise.inc.h for all widths. */

static void bytes_depthwise(const struct bytes_job *job, size_t begin, size_t end) {
        const struct bytes_depthwise *p = job->op;
        size_t dst_bytes = p->result == BYTES_U8 ? 1 : sizeof(float);
        size_t sum_bytes = p->sum_type == BYTES_U8 ? 1 : sizeof(float);
        struct depthwise_task t = {
                .p = p,
                .direct = bytes_is_direct(p->result, &p->epilogue),
                .groups = bytes_depthwise_groups(p, DOT_ROWS),
                .dst_bytes = dst_bytes,
                .sum_bytes = sum_bytes,
                .finish = finish_of(p->result, &p->epilogue, p->dst),
        };
        struct depthwise_rows rows = {.groups = t.groups, .width = (int64_t)p->width};

        t.finish.sum_type = p->sum_type;
        t.finish.sum = p->sum;
        /* The packer has put it into the channels' own scales. */
        if (t.direct)
                t.finish.inverse = 1;
        memset(rows.zero, p->src_zero, sizeof(rows.zero));
        for (size_t i = begin; i < end; i++) {
                const unsigned char *packed = job->weights;

                t.dst = (uint8_t *)job->dst + i * p->out_width * p->dst_pixel * dst_bytes;
                t.sum = job->other
                                ? (const uint8_t *)job->other + i * p->out_width * p->sum_pixel * sum_bytes
                                : NULL;
                for (size_t c = 0, width; c < p->channels; c += width) {
                        size_t n;

                        width = bytes_block(p->channels - c, 4 * LANES);
                        n = MIN(width, p->channels - c);
                        depthwise_rows_find(&rows, p, job->src, i / p->out_height, i % p->out_height, c);
#if LANES == 16
                        if (width == 64)
                                depthwise_row_64(&t, &rows, packed, c, n);
#endif
                        if (width == 32)
                                depthwise_row_32(&t, &rows, packed, c, n);
                        else if (width == 16)
                                depthwise_row_16(&t, &rows, packed, c, n);
                        packed += bytes_block_bytes(p, DOT_ROWS, width);
                }
        }
}

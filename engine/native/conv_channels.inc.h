/* channels: runs of channels of several sources, one after the other. */

void VECTOR(native_channels)(const struct native_run *runs, size_t n_runs, const float *const *sources,
                             float *dst, size_t dst_pixel, size_t begin, size_t end) {
        for (size_t pixel = begin; pixel < end; pixel++) {
                float *to = dst + pixel * dst_pixel;

                for (size_t i = 0; i < n_runs; i++) {
                        const struct native_run *run = &runs[i];
                        const float *from = sources[run->source] + pixel * run->pixel + run->first;
                        size_t c = 0;

                        for (; c + LANES <= run->n; c += LANES)
                                v_store(to + c, v_load(from + c));
                        if (c < run->n && c > 0)
                                v_store(to + run->n - LANES, v_load(from + run->n - LANES));
                        else if (c < run->n)
                                v_store_part(to, v_mask(run->n), v_load_part(from, v_mask(run->n)));
                        to += run->n;
                }
        }
}

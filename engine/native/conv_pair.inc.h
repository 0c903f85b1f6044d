/* pair: a pointwise convolution and the depthwise one that reads it, by bands of rows. */

/* Rows of one image that the map between the two holds. */
struct pair_map {
        float *rows;
        size_t begin, end;
};

static void pair_compute(const struct native_conv *p, const struct native_conv_data *data,
                         struct pair_map *map, size_t image, size_t begin, size_t end) {
        size_t row = p->out_width * p->outputs, first = (image * p->height + begin) * p->width;
        size_t n = (end - begin) * p->width, vectors = (p->outputs + LANES - 1) / LANES;
        size_t blocks = (n + p->rows - 1) / p->rows;
        struct native_conv_data to = *data;

        to.dst = map->rows + (begin - map->begin) * row;
        to.dst_first = first;
        for (size_t i = 0; i < blocks; i++)
                pointwise_block(p, &to, NULL, first + piece(n, i, blocks), first + piece(n, i + 1, blocks),
                                0, vectors);
}

void VECTOR(native_pair)(const struct native_pair *pair, const struct native_conv_data *first,
                         const struct native_conv_data *second, size_t thread, size_t n_threads) {
        const struct native_conv *p = &pair->second;
        size_t n = p->images * p->out_height, to = piece(n, thread + 1, n_threads), last,
               row = p->width * p->inputs;
        struct pair_map map = {.rows = second->scratch + thread * pair->scratch_floats};
        struct native_conv_data data = *second;
        size_t image = SIZE_MAX;

        data.src = map.rows;
        for (size_t i = piece(n, thread, n_threads); i < to; i = last) {
                size_t y = i % p->out_height, rows = to - i, stride = p->window.strides[0];
                int64_t begin = (int64_t)(y * stride) - p->window.pads_begin[0], end;

                rows = rows > pair->rows ? pair->rows : rows;
                rows = rows > p->out_height - y ? p->out_height - y : rows;
                last = i + rows;
                end = begin + (int64_t)((rows - 1) * stride + p->window.kernel[0]);
                begin = begin < 0 ? 0 : begin > (int64_t)p->height ? (int64_t)p->height : begin;
                end = end < begin ? begin : end > (int64_t)p->height ? (int64_t)p->height : end;

                /* What the band before has computed is moved to the front. */
                if (image != i / p->out_height || (size_t)begin >= map.end) {
                        image = i / p->out_height;
                        map.begin = map.end = (size_t)begin;
                } else if ((size_t)begin > map.begin) {
                        memmove(map.rows, map.rows + ((size_t)begin - map.begin) * row,
                                (map.end - (size_t)begin) * row * sizeof(*map.rows));
                        map.begin = (size_t)begin;
                }
                if ((size_t)end > map.end) {
                        pair_compute(&pair->first, first, &map, image, map.end, (size_t)end);
                        map.end = (size_t)end;
                }
                data.src_first = (image * p->height + map.begin) * p->width;
                for (size_t r = y; r < y + rows; r++)
                        depthwise_any_row(p, &data, image, r);
        }
}

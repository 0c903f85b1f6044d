#include "engine/trace.h"

#include <string.h>

struct trace trace_itself(uint32_t value, const struct shape *shape) {
        struct trace trace = {.source = value, .rank = shape->rank};
        size_t step = 1;

        for (size_t i = shape->rank; i-- > 0; step *= shape->dims[i]) {
                trace.dims[i].size = shape->dims[i];
                if (shape->dims[i] == 1)
                        continue;
                trace.dims[i].n_atoms = 1;
                trace.dims[i].atoms[0] = (struct trace_atom){shape->dims[i], step};
        }
        return trace;
}

size_t trace_atoms(const struct trace *trace, size_t first, size_t last, struct trace_atom *ret_atoms,
                   size_t max) {
        size_t n = 0;

        for (size_t d = first; d < last; d++)
                for (size_t i = 0; i < trace->dims[d].n_atoms; i++) {
                        struct trace_atom atom = trace->dims[d].atoms[i];

                        if (n > 0 && ret_atoms[n - 1].step == atom.size * atom.step) {
                                ret_atoms[n - 1].size *= atom.size;
                                ret_atoms[n - 1].step = atom.step;
                        } else if (n == max) {
                                return SIZE_MAX;
                        } else {
                                ret_atoms[n++] = atom;
                        }
                }
        return n;
}

/* Takes a dimension of size from the front of atoms. */
static bool take_dim(struct trace_dim *ret_dim, size_t size, struct trace_atom **atoms, size_t *n) {
        struct trace_dim dim = {.size = size};

        while (size > 1) {
                struct trace_atom *atom = *atoms;

                if (*n == 0 || dim.n_atoms == TRACE_MAX_ATOMS)
                        return false;
                if (size % atom->size == 0) {
                        dim.atoms[dim.n_atoms++] = *atom;
                        size /= atom->size;
                        (*atoms)++;
                        (*n)--;
                } else if (atom->size % size == 0) {
                        atom->size /= size;
                        dim.atoms[dim.n_atoms++] = (struct trace_atom){size, atom->step * atom->size};
                        size = 1;
                } else {
                        return false;
                }
        }
        *ret_dim = dim;
        return true;
}

#define ALL_ATOMS (TRACE_MAX_ATOMS * TENSOR_MAX_RANK)

bool trace_reshape(struct trace *trace, const struct shape *shape) {
        struct trace_atom buffer[ALL_ATOMS], *atoms = buffer;
        size_t n = trace_atoms(trace, 0, trace->rank, buffer, ALL_ATOMS);
        struct trace reshaped = {.source = trace->source, .offset = trace->offset, .rank = shape->rank};

        for (size_t i = 0; i < shape->rank; i++)
                if (!take_dim(&reshaped.dims[i], shape->dims[i], &atoms, &n))
                        return false;
        *trace = reshaped;
        return true;
}

bool trace_slice(struct trace *trace, size_t axis, size_t begin, size_t n) {
        struct trace_dim *dim = &trace->dims[axis];

        if (n == dim->size)
                return true;
        if (dim->n_atoms != 1 || n == 0)
                return false;
        trace->offset += begin * dim->atoms[0].step;
        dim->size = dim->atoms[0].size = n;
        dim->n_atoms = n > 1;
        return true;
}

void trace_transpose(struct trace *trace, const size_t *permutation) {
        struct trace transposed = *trace;

        for (size_t i = 0; i < trace->rank; i++)
                transposed.dims[i] = trace->dims[permutation[i]];
        *trace = transposed;
}

static void sort_by_step(struct trace_atom *atoms, size_t n) {
        for (size_t i = 1; i < n; i++)
                for (size_t k = i; k > 0 && atoms[k - 1].step < atoms[k].step; k--) {
                        struct trace_atom atom = atoms[k];

                        atoms[k] = atoms[k - 1];
                        atoms[k - 1] = atom;
                }
}

bool trace_covers(const struct trace *trace, const struct shape *shape) {
        struct trace_atom atoms[ALL_ATOMS];
        size_t n = trace_atoms(trace, 0, trace->rank, atoms, ALL_ATOMS), step = 1;

        sort_by_step(atoms, n);
        while (n-- > 0) {
                if (atoms[n].step != step)
                        return false;
                step *= atoms[n].size;
        }
        return trace->offset == 0 && step == shape_elements(shape);
}

bool trace_is_reshape(const struct trace *trace, const struct shape *shape) {
        struct trace_atom atom;
        size_t n = trace_atoms(trace, 0, trace->rank, &atom, 1);

        return trace->offset == 0 &&
               (n == 0 ? shape_elements(shape) == 1
                       : n == 1 && atom.step == 1 && atom.size == shape_elements(shape));
}

bool trace_is_transpose(const struct trace *trace, const struct shape *shape,
                        size_t ret_permutation[TENSOR_MAX_RANK]) {
        struct trace source = trace_itself(0, shape);
        bool taken[TENSOR_MAX_RANK] = {false};

        if (trace->rank != shape->rank || trace->offset != 0)
                return false;
        for (size_t i = 0; i < trace->rank; i++) {
                const struct trace_dim *dim = &trace->dims[i];
                size_t k = 0;

                while (k < shape->rank &&
                       (taken[k] || source.dims[k].size != dim->size ||
                        source.dims[k].n_atoms != dim->n_atoms ||
                        (dim->n_atoms == 1 && source.dims[k].atoms[0].step != dim->atoms[0].step)))
                        k++;
                if (k == shape->rank)
                        return false;
                taken[k] = true;
                ret_permutation[i] = k;
        }
        return true;
}

bool trace_same_order(const struct trace *a, const struct trace *b) {
        struct trace_atom of_a[ALL_ATOMS], of_b[ALL_ATOMS];
        size_t n = trace_atoms(a, 0, a->rank, of_a, ALL_ATOMS);

        return a->offset == b->offset && n == trace_atoms(b, 0, b->rank, of_b, ALL_ATOMS) &&
               memcmp(of_a, of_b, n * sizeof(*of_a)) == 0;
}

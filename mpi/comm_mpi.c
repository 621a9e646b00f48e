/* The reproducible all-reduce: reduce-scatter by recursive halving, then all-gather by recursive doubling (Thakur,
 * Rabenseifner, Gropp 2005), each rank sending and receiving 2 (1 - 1/ranks) of the pack in all.
 *
 * At the first step partners are neighbours (rank ^ 1), then pairs of pairs, and so on: every element is the binary
 * tree ((r0 + r1) + (r2 + r3)) + ... whichever rank adds it up, because a + b and b + a are the same bits. Library
 * reductions (MPI_Allreduce) promise no order, and change it with the number of ranks.
 */
#include "mpi/comm_mpi.h"

#include "core/kernels.h"
#include "core/matrix.h"
#include "core/memory.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 2048, LEVELS = 32, TAG_REDUCE = 1, CHUNK = 1 << 30 /* bytes of one MPI call */ };

typedef struct comm_mpi {
    hm_comm comm; /* first: a comm_mpi is an hm_comm */
    MPI_Comm mpi;
    void *incoming; /* receive buffer of the reductions, grown when needed */
    size_t incoming_bytes;
} comm_mpi;

static hm_status check(int code, const char *call)
{
    char text[MPI_MAX_ERROR_STRING];
    int length;
    if (code == MPI_SUCCESS) return HM_OK;
    MPI_Error_string(code, text, &length);
    return hm_fail(HM_EINTERNAL, "%s: %s", call, text);
}

/* ---- sums ------------------------------------------------------------------------------------------------------- */

typedef void add_fn(int64_t count, const void *a, void *sum);

static void add_float(int64_t count, const void *a, void *sum) { hm_kernels_best()->add(count, sum, a, sum); }

static void add_double(int64_t count, const void *a, void *sum)
{
    const double *from = a;
    double *to = sum;
    for (int64_t i = 0; i < count; i++) to[i] += from[i];
}

typedef struct element {
    size_t size;
    MPI_Datatype type;
    add_fn *add;
} element;

static hm_status exchange(comm_mpi *self, int partner, const element *kind, const void *send, int64_t send_count,
                          void *receive, int64_t receive_count)
{
    int64_t most = CHUNK / (int64_t)kind->size;
    for (int64_t at = 0; at < send_count || at < receive_count; at += most) {
        int64_t out = send_count - at, in = receive_count - at;
        out = out < 0 ? 0 : out > most ? most : out;
        in = in < 0 ? 0 : in > most ? most : in;
        HM_TRY(check(MPI_Sendrecv((const char *)send + (out ? at : 0) * (int64_t)kind->size, (int)out, kind->type,
                                  partner, TAG_REDUCE, (char *)receive + (in ? at : 0) * (int64_t)kind->size, (int)in,
                                  kind->type, partner, TAG_REDUCE, self->mpi, MPI_STATUS_IGNORE),
                     "MPI_Sendrecv"));
    }
    return HM_OK;
}

static hm_status grow_incoming(comm_mpi *self, size_t bytes)
{
    if (bytes <= self->incoming_bytes) return HM_OK;
    free(self->incoming);
    self->incoming_bytes = 0;
    HM_TRY(hm_alloc(&self->incoming, (int64_t)bytes, 1, "the reduction's receive buffer"));
    self->incoming_bytes = bytes;
    return HM_OK;
}

static hm_status reduce(comm_mpi *self, void *sum, int64_t count, const element *kind)
{
    int rank = self->comm.rank, size = self->comm.size, level = 0;
    char *data = sum;
    hm_range mine = {0, count}, before[LEVELS];
    HM_REQUIRE((size & (size - 1)) == 0, HM_EUSAGE, "%d ranks: sums over ranks need a power of two", size);
    HM_TRY(grow_incoming(self, (size_t)((count + 1) / 2 + 1) * kind->size));

    /* Halving: keep one half of what is left, give the other to the partner and add the partner's share of mine. */
    for (int distance = 1; distance < size; distance *= 2, level++) {
        bool lower = (rank & distance) == 0;
        int64_t middle = mine.begin + hm_count(mine) / 2;
        hm_range keep = lower ? (hm_range){mine.begin, middle} : (hm_range){middle, mine.end};
        hm_range give = lower ? (hm_range){middle, mine.end} : (hm_range){mine.begin, middle};
        HM_TRY(exchange(self, rank ^ distance, kind, data + give.begin * (int64_t)kind->size, hm_count(give),
                        self->incoming, hm_count(keep)));
        kind->add(hm_count(keep), self->incoming, data + keep.begin * (int64_t)kind->size);
        before[level] = mine;
        mine = keep;
    }
    /* Doubling: back the same way, each time completing what was cut. */
    for (int distance = size / 2; distance >= 1; distance /= 2) {
        hm_range whole = before[--level];
        hm_range theirs =
            mine.begin == whole.begin ? (hm_range){mine.end, whole.end} : (hm_range){whole.begin, mine.begin};
        HM_TRY(exchange(self, rank ^ distance, kind, data + mine.begin * (int64_t)kind->size, hm_count(mine),
                        data + theirs.begin * (int64_t)kind->size, hm_count(theirs)));
        mine = whole;
    }
    return HM_OK;
}

static hm_status reduce_float(hm_comm *comm, float *sum, int64_t count)
{
    const element kind = {sizeof(float), MPI_FLOAT, add_float};
    return reduce((comm_mpi *)comm, sum, count, &kind);
}

static hm_status reduce_double(hm_comm *comm, double *sum, int64_t count)
{
    const element kind = {sizeof(double), MPI_DOUBLE, add_double};
    return reduce((comm_mpi *)comm, sum, count, &kind);
}

/* ---- copies and agreement ---------------------------------------------------------------------------------------- */

static hm_status broadcast_bytes(MPI_Comm mpi, char *data, int64_t bytes, int root)
{
    for (int64_t at = 0; at < bytes; at += CHUNK) {
        int64_t count = bytes - at < CHUNK ? bytes - at : CHUNK;
        HM_TRY(check(MPI_Bcast(data + at, (int)count, MPI_BYTE, root, mpi), "MPI_Bcast"));
    }
    return HM_OK;
}

static hm_status broadcast(hm_comm *comm, void *data, size_t bytes, int root)
{
    return broadcast_bytes(((comm_mpi *)comm)->mpi, data, (int64_t)bytes, root);
}

/* One broadcast a rank: used once an evaluation, never in a training step. */
static hm_status all_gather(hm_comm *comm, void *all, const int64_t begin[])
{
    for (int root = 0; root < comm->size; root++)
        HM_TRY(
            broadcast_bytes(((comm_mpi *)comm)->mpi, (char *)all + begin[root], begin[root + 1] - begin[root], root));
    return HM_OK;
}

static hm_status agree(hm_comm *comm, hm_status mine)
{
    comm_mpi *self = (comm_mpi *)comm;
    enum { NOBODY = 1 << 30 };
    /* One reduction decides both: the lowest failing rank, and (as codes are small) how it failed. */
    int first = mine == HM_OK ? NOBODY : comm->rank * 64 + (int)mine, lowest;
    HM_TRY(check(MPI_Allreduce(&first, &lowest, 1, MPI_INT, MPI_MIN, self->mpi), "MPI_Allreduce"));
    if (lowest == NOBODY) return HM_OK;
    char message[MESSAGE_BYTES] = "";
    strncpy(message, hm_error_message(), sizeof message - 1);
    HM_TRY(check(MPI_Bcast(message, sizeof message, MPI_CHAR, lowest / 64, self->mpi), "MPI_Bcast"));
    hm_error_clear();
    return hm_fail((hm_status)(lowest % 64), "%s", message);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

hm_status hm_comm_mpi_create(MPI_Comm mpi, hm_comm **out)
{
    comm_mpi *self;
    HM_TRY(hm_alloc(&self, 1, sizeof *self, "the communicator"));
    self->comm = (hm_comm){
        .reduce_float = reduce_float,
        .reduce_double = reduce_double,
        .broadcast = broadcast,
        .all_gather = all_gather,
        .agree = agree,
    };
    hm_status status = check(MPI_Comm_dup(mpi, &self->mpi), "MPI_Comm_dup");
    if (status != HM_OK) {
        free(self);
        return status;
    }
    MPI_Comm_set_errhandler(self->mpi, MPI_ERRORS_RETURN);
    MPI_Comm_rank(self->mpi, &self->comm.rank);
    MPI_Comm_size(self->mpi, &self->comm.size);
    *out = &self->comm;
    return HM_OK;
}

void hm_comm_mpi_free(hm_comm *comm)
{
    comm_mpi *self = (comm_mpi *)comm;
    if (!self) return;
    MPI_Comm_free(&self->mpi);
    free(self->incoming);
    free(self);
}

MPI_Comm hm_comm_mpi_handle(const hm_comm *comm) { return ((const comm_mpi *)comm)->mpi; }

int hm_comm_mpi_ranks_on_host(const hm_comm *comm)
{
    MPI_Comm host;
    int ranks;
    MPI_Comm_split_type(hm_comm_mpi_handle(comm), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    MPI_Comm_size(host, &ranks);
    MPI_Comm_free(&host);
    return ranks;
}

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

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 2048, LEVELS = 32, REDUCTIONS = 16 /* under way together */ };
enum { TAG_ALIVE = 1, TAG_REDUCE = 2, CHUNK = 1 << 30 /* bytes of one MPI call */ };

typedef struct reduction reduction;

typedef struct comm_mpi {
    hm_comm comm; /* first: a comm_mpi is an hm_comm */
    MPI_Comm mpi;
    reduction *reductions; /* (REDUCTIONS) */
    int begun;             /* of them */
    double timeout;        /* seconds; 0: none */
    hm_place *places;      /* (size) */
    hm_watch *watch;       /* NULL without a timeout */
    bool speaks;           /* reports a loss */
} comm_mpi;

static hm_status check(int code, const char *call)
{
    char text[MPI_MAX_ERROR_STRING];
    int length;
    if (code == MPI_SUCCESS) return HM_OK;
    MPI_Error_string(code, text, &length);
    return hm_fail(HM_EINTERNAL, "%s: %s", call, text);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

/* A wait. Seconds that a rank has spent in it: a gap in which it did not run itself (it was stopped, or its machine
 * slept) counts as one second, for it says nothing about the others. */
typedef struct patience {
    double begun; /* 0: not yet */
    double last, waited;
} patience;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Between two polls. A wait that lasts gives up its core for a moment at a time: a rank that only polls keeps others
 * from the core that they may share with it, its own partner too, and is itself set back by any other program for whole
 * slices of the scheduler, where one that has slept is let in at once. */
static bool runs_out(patience *p, double seconds)
{
    static const double SPIN = 100e-6, MOST_A_LOOK = 1;
    static const struct timespec NAP = {.tv_nsec = 20000};
    double time = now();
    if (p->begun == 0) p->begun = p->last = time;
    if (time - p->begun > SPIN) nanosleep(&NAP, NULL);
    p->waited += fmin(time - p->last, MOST_A_LOOK);
    p->last = time;
    return seconds > 0 && p->waited > seconds;
}

/* Tells all ranks that this one is there, and hears which others are: all that wait for a lost rank, directly or
 * through each other, give up within a step of each other. */
static void roll_call(comm_mpi *self, bool alive[])
{
    static const double GRACE = 5; /* seconds */
    patience p = {0};
    MPI_Request request;
    alive[self->comm.rank] = true;
    for (int rank = 0; rank < self->comm.size; rank++)
        if (rank != self->comm.rank &&
            MPI_Isend(NULL, 0, MPI_BYTE, rank, TAG_ALIVE, self->mpi, &request) == MPI_SUCCESS)
            MPI_Request_free(&request);
    while (!runs_out(&p, GRACE)) {
        int there;
        MPI_Status from;
        MPI_Iprobe(MPI_ANY_SOURCE, TAG_ALIVE, self->mpi, &there, &from);
        if (!there) continue;
        MPI_Recv(NULL, 0, MPI_BYTE, from.MPI_SOURCE, TAG_ALIVE, self->mpi, MPI_STATUS_IGNORE);
        alive[from.MPI_SOURCE] = true;
    }
}

/* Names the ranks that do not answer. */
static hm_status lose(comm_mpi *self)
{
    char silent[1024] = "";
    size_t used = 0;
    int size = self->comm.size;
    bool *alive;
    self->comm.lost = true;
    HM_TRY(hm_alloc(&alive, size, sizeof *alive, "a roll call"));
    roll_call(self, alive);
    self->speaks = true;
    for (int rank = 0; rank < self->comm.rank; rank++) self->speaks = self->speaks && !alive[rank];
    for (int rank = 0; rank < size && used < sizeof silent; rank++)
        if (!alive[rank])
            used += (size_t)snprintf(silent + used, sizeof silent - used, "%srank %d (host %s, process %d)",
                                     used ? ", " : "", rank, self->places[rank].host, self->places[rank].process);
    free(alive);
    return hm_fail(HM_ELOST, "no answer for %g s from %s; the job is ended", self->timeout,
                   used ? silent : "the network, although every rank is there");
}

static hm_status check_lost(const comm_mpi *self)
{
    HM_REQUIRE(!self->comm.lost, HM_ELOST, "a rank was lost before");
    return HM_OK;
}

/* Like MPI_Waitall, but not for ever. */
static hm_status wait_all(comm_mpi *self, int count, MPI_Request requests[], const char *call)
{
    patience p = {0};
    int done = 0;
    for (;;) {
        HM_TRY(check(MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE), call));
        if (done) return HM_OK;
        if (runs_out(&p, self->timeout)) return lose(self);
    }
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

/* One all-reduce under way: a row of exchanges with one partner each, of which `step` is the next or is waited for. */
struct reduction {
    const element *kind;
    char *data;
    hm_range mine;           /* what this rank has the sum of, so far */
    hm_range before[LEVELS]; /* ... and had before each halving */
    int step, steps;         /* halvings, then as many doublings */
    void *incoming;          /* receive buffer of the halvings, grown when needed */
    size_t incoming_bytes;
    MPI_Request requests[2];
};

/* What this rank does in a step. Halving: keep one half of what is left, give the other to the partner. Doubling: back
 * the same way, each time completing what was cut. */
typedef struct move {
    int partner;
    bool halving;
    hm_range send, receive, after; /* of the elements; `after` is `mine` then */
} move;

static move plan(const comm_mpi *self, const reduction *r)
{
    int rank = self->comm.rank, levels = r->steps / 2;
    bool halving = r->step < levels;
    int level = halving ? r->step : r->steps - 1 - r->step, distance = 1 << level;
    hm_range whole = halving ? r->mine : r->before[level];
    int64_t middle = whole.begin + hm_count(whole) / 2;
    hm_range low = {whole.begin, middle}, high = {middle, whole.end};
    bool lower = (rank & distance) == 0;
    hm_range keep = lower ? low : high, give = lower ? high : low;
    if (halving) return (move){rank ^ distance, true, give, keep, keep};
    return (move){rank ^ distance, false, keep, give, whole};
}

static hm_status grow_incoming(reduction *r, size_t bytes)
{
    if (bytes <= r->incoming_bytes) return HM_OK;
    free(r->incoming);
    r->incoming_bytes = 0;
    HM_TRY(hm_alloc(&r->incoming, (int64_t)bytes, 1, "the reduction's receive buffer"));
    r->incoming_bytes = bytes;
    return HM_OK;
}

/* Starts the exchange of the step. Reductions under way together differ in their tag. */
static hm_status post(comm_mpi *self, reduction *r)
{
    if (r->step == r->steps) return HM_OK;
    move m = plan(self, r);
    size_t size = r->kind->size;
    int tag = TAG_REDUCE + (int)(r - self->reductions);
    void *to = m.halving ? r->incoming : r->data + (size_t)m.receive.begin * size;
    HM_TRY(check(MPI_Irecv(to, (int)hm_count(m.receive), r->kind->type, m.partner, tag, self->mpi, &r->requests[0]),
                 "MPI_Irecv"));
    return check(MPI_Isend(r->data + (size_t)m.send.begin * size, (int)hm_count(m.send), r->kind->type, m.partner, tag,
                           self->mpi, &r->requests[1]),
                 "MPI_Isend");
}

/* Takes in what has arrived, and starts what follows from it; does not wait. */
static hm_status progress(comm_mpi *self, reduction *r)
{
    while (r->step < r->steps) {
        int arrived;
        HM_TRY(check(MPI_Testall(2, r->requests, &arrived, MPI_STATUSES_IGNORE), "a reduction"));
        if (!arrived) return HM_OK;
        move m = plan(self, r);
        if (m.halving) {
            r->kind->add(hm_count(m.receive), r->incoming, r->data + (size_t)m.receive.begin * r->kind->size);
            r->before[r->step] = r->mine;
        }
        r->mine = m.after;
        r->step++;
        HM_TRY(post(self, r));
    }
    return HM_OK;
}

/* Collective. */
static hm_status finish(hm_comm *comm)
{
    comm_mpi *self = (comm_mpi *)comm;
    patience p = {0};
    int before = 0;
    HM_TRY(check_lost(self));
    for (int first = 0; first < self->begun;) {
        int steps = 0;
        for (int at = 0; at < self->begun; at++) {
            HM_TRY(progress(self, &self->reductions[at]));
            steps += self->reductions[at].step;
        }
        if (steps != before) p.begun = 0; /* each step is a wait of its own */
        before = steps;
        while (first < self->begun && self->reductions[first].step == self->reductions[first].steps) first++;
        if (first < self->begun && runs_out(&p, self->timeout)) return lose(self);
    }
    self->begun = 0;
    return HM_OK;
}

/* One message's worth. */
static hm_status begin_part(comm_mpi *self, char *data, int64_t count, const element *kind)
{
    if (self->begun == REDUCTIONS) HM_TRY(finish(&self->comm));
    for (int at = 0; at < self->begun; at++) HM_TRY(progress(self, &self->reductions[at]));
    reduction *r = &self->reductions[self->begun];
    r->kind = kind;
    r->data = data;
    r->mine = (hm_range){0, count};
    r->step = r->steps = 0;
    for (int distance = 1; distance < self->comm.size; distance *= 2) r->steps += 2;
    HM_TRY(grow_incoming(r, (size_t)(count / 2 + 1) * kind->size));
    self->begun++;
    return post(self, r);
}

static hm_status begin(comm_mpi *self, void *sum, int64_t count, const element *kind)
{
    int size = self->comm.size;
    int64_t most = CHUNK / (int64_t)kind->size;
    HM_TRY(check_lost(self));
    HM_REQUIRE((size & (size - 1)) == 0, HM_EUSAGE, "%d ranks: sums over ranks need a power of two", size);
    for (int64_t at = 0; at < count; at += most)
        HM_TRY(begin_part(self, (char *)sum + at * (int64_t)kind->size, count - at < most ? count - at : most, kind));
    return HM_OK;
}

static const element floats = {sizeof(float), MPI_FLOAT, add_float};
static const element doubles = {sizeof(double), MPI_DOUBLE, add_double};

static hm_status begin_float(hm_comm *comm, float *sum, int64_t count)
{
    return begin((comm_mpi *)comm, sum, count, &floats);
}

static hm_status reduce_float(hm_comm *comm, float *sum, int64_t count)
{
    HM_TRY(begin_float(comm, sum, count));
    return finish(comm);
}

static hm_status reduce_double(hm_comm *comm, double *sum, int64_t count)
{
    HM_TRY(begin((comm_mpi *)comm, sum, count, &doubles));
    return finish(comm);
}

/* ---- copies and agreement ---------------------------------------------------------------------------------------- */

static hm_status broadcast_bytes(comm_mpi *self, char *data, int64_t bytes, int root)
{
    HM_TRY(check_lost(self));
    for (int64_t at = 0; at < bytes; at += CHUNK) {
        MPI_Request request;
        int64_t count = bytes - at < CHUNK ? bytes - at : CHUNK;
        HM_TRY(check(MPI_Ibcast(data + at, (int)count, MPI_BYTE, root, self->mpi, &request), "MPI_Ibcast"));
        HM_TRY(wait_all(self, 1, &request, "MPI_Ibcast"));
    }
    return HM_OK;
}

static hm_status broadcast(hm_comm *comm, void *data, size_t bytes, int root)
{
    return broadcast_bytes((comm_mpi *)comm, data, (int64_t)bytes, root);
}

/* One broadcast a rank: used once an evaluation, never in a training step. */
static hm_status all_gather(hm_comm *comm, void *all, const int64_t begin[])
{
    for (int root = 0; root < comm->size; root++)
        HM_TRY(broadcast_bytes((comm_mpi *)comm, (char *)all + begin[root], begin[root + 1] - begin[root], root));
    return HM_OK;
}

static hm_status agree(hm_comm *comm, hm_status mine)
{
    comm_mpi *self = (comm_mpi *)comm;
    enum { NOBODY = 1 << 30 };
    MPI_Request request;
    HM_TRY(check_lost(self));
    /* One reduction decides all: the lowest failing rank, how it failed (as codes are small), and the greatest wish. */
    int first[2] = {mine == HM_OK ? NOBODY : comm->rank * 64 + (int)mine, -(int)comm->wish}, lowest[2];
    HM_TRY(check(MPI_Iallreduce(first, lowest, 2, MPI_INT, MPI_MIN, self->mpi, &request), "MPI_Iallreduce"));
    HM_TRY(wait_all(self, 1, &request, "MPI_Iallreduce"));
    comm->wished = (hm_wish)-lowest[1];
    if (lowest[0] == NOBODY) return HM_OK;
    char message[MESSAGE_BYTES] = "";
    strncpy(message, hm_error_message(), sizeof message - 1);
    HM_TRY(broadcast_bytes(self, message, sizeof message, lowest[0] / 64));
    hm_error_clear();
    return hm_fail((hm_status)(lowest[0] % 64), "%s", message);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

hm_status hm_comm_mpi_set_timeout(hm_comm *comm, double seconds, hm_lost_fn *lost)
{
    comm_mpi *self = (comm_mpi *)comm;
    self->timeout = seconds;
    if (seconds <= 0 || comm->size == 1 || self->watch) return HM_OK;
    return hm_watch_create(comm->rank, comm->size, self->places, lost, &self->watch);
}

/* Later than the reductions would have found out, which can name ranks of all hosts. */
static void watch(hm_comm *comm, const char *what)
{
    static const double LATER = 8; /* seconds */
    comm_mpi *self = (comm_mpi *)comm;
    if (self->watch && self->timeout > 0) hm_watch_over(self->watch, what, self->timeout + LATER);
}

/* Collective. */
static hm_status find_places(comm_mpi *self)
{
    hm_place mine = {.process = (int)getpid()};
    gethostname(mine.host, sizeof mine.host - 1);
    HM_TRY(hm_alloc(&self->places, self->comm.size, sizeof mine, "the places of ranks"));
    return check(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, self->places, sizeof mine, MPI_BYTE, self->mpi),
                 "MPI_Allgather");
}

hm_status hm_comm_mpi_create(MPI_Comm mpi, hm_comm **out)
{
    comm_mpi *self;
    HM_TRY(hm_alloc(&self, 1, sizeof *self, "the communicator"));
    self->comm = (hm_comm){
        .reduce_float = reduce_float,
        .reduce_double = reduce_double,
        .begin_float = begin_float,
        .finish = finish,
        .broadcast = broadcast,
        .all_gather = all_gather,
        .agree = agree,
        .watch = watch,
    };
    hm_status status = hm_alloc(&self->reductions, REDUCTIONS, sizeof *self->reductions, "reductions");
    if (status == HM_OK) status = check(MPI_Comm_dup(mpi, &self->mpi), "MPI_Comm_dup");
    if (status != HM_OK) {
        free(self->reductions);
        free(self);
        return status;
    }
    MPI_Comm_set_errhandler(self->mpi, MPI_ERRORS_RETURN);
    MPI_Comm_rank(self->mpi, &self->comm.rank);
    MPI_Comm_size(self->mpi, &self->comm.size);
    *out = &self->comm;
    return find_places(self);
}

bool hm_comm_mpi_speaks(const hm_comm *comm) { return ((const comm_mpi *)comm)->speaks; }

void hm_comm_mpi_free(hm_comm *comm)
{
    comm_mpi *self = (comm_mpi *)comm;
    if (!self) return;
    hm_watch_free(self->watch);
    MPI_Comm_free(&self->mpi);
    for (int at = 0; self->reductions && at < REDUCTIONS; at++) free(self->reductions[at].incoming);
    free(self->reductions);
    free(self->places);
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

/* harmonium encode RUN -o FILE.h5: the latent variables of a data set, the means of q(h | v), as a data file of its
 * own: to be looked at, or trained on. Rank 0 does it, with the run's threads; rows stream. */
#include "cli/run.h"
#include "cli/trained.h"

#include "core/memory.h"
#include "io/dataset.h"

#include <stdlib.h>
#include <string.h>

typedef struct encode_options {
    const char *output, *data;
    hm_texts sets;
} encode_options;

static const hm_option options[] = {
    {"--output|-o", HM_OPT_TEXT, offsetof(encode_options, output), "FILE.h5", "the data file to be made"},
    {"--data", HM_OPT_TEXT, offsetof(encode_options, data), "FILE",
     "data file (default: the one the run was trained on)"},
    {"--set", HM_OPT_TEXTS, offsetof(encode_options, sets), "KEY=VALUE",
     "override a key of the configuration (threads=2)"},
    {.name = NULL},
};

/* ---- a source of means ------------------------------------------------------------------------------------------- */

enum { ROWS_A_TURN = 64 };

typedef struct encoded {
    hm_source source; /* first: it is one */
    hm_source *rows;  /* owned */
    const hm_model *model;
    hm_transform transform;
} encoded;

typedef struct block {
    const encoded *data;
    int64_t begin, count;
    const unsigned char *raw;
    float *out;
} block;

/* Some rows, by one thread. */
static hm_status encode_some(void *context, int64_t turn)
{
    const block *b = context;
    const encoded *data = b->data;
    const hm_latent *latent = data->model->class->latent;
    hm_range rows = {turn * ROWS_A_TURN, (turn + 1) * ROWS_A_TURN};
    if (rows.end > b->count) rows.end = b->count;
    hm_matrix v = {NULL, hm_count(rows), data->rows->columns};
    size_t row_bytes = (size_t)v.columns * hm_type_size(data->rows->type);
    hm_arena scratch;
    HM_TRY(hm_arena_init(&scratch, hm_arena_bytes(v.rows * v.columns) + latent->scratch_bytes(data->model, v.rows, 1),
                         "scratch for encoding"));
    hm_status status = hm_arena_floats(&scratch, v.rows * v.columns, &v.at);
    for (int64_t row = 0; status == HM_OK && row < v.rows; row++)
        status = hm_transform_rates(&data->transform, data->rows, b->raw + (size_t)(rows.begin + row) * row_bytes,
                                    b->begin + rows.begin + row, v.at + row * v.columns);
    if (status == HM_OK)
        status = latent->encode(data->model, v, &scratch, b->out + rows.begin * data->source.columns, NULL);
    hm_arena_free(&scratch);
    return status;
}

static hm_status encoded_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    encoded *data = (encoded *)source;
    unsigned char *raw;
    HM_TRY(hm_alloc(&raw, count * data->rows->columns, hm_type_size(data->rows->type), "rows"));
    block b = {data, begin, count, raw, out};
    hm_status status = data->rows->read(data->rows, begin, count, raw);
    if (status == HM_OK)
        status = hm_team_each(data->model->team, (count + ROWS_A_TURN - 1) / ROWS_A_TURN, encode_some, &b);
    free(raw);
    return status;
}

static void encoded_close(hm_source *source)
{
    encoded *data = (encoded *)source;
    data->rows->close(data->rows);
    free(data);
}

/* Takes over rows when it succeeds. */
static hm_status open_encoded(const hm_run *run, const hm_model *model, hm_split split, hm_source *rows,
                              hm_source **out)
{
    encoded *data;
    HM_REQUIRE(rows->columns == model->visible, HM_EDATA, "%lld columns; the model has %lld visible units",
               (long long)rows->columns, (long long)model->visible);
    HM_TRY(hm_alloc(&data, 1, sizeof *data, "encoded rows"));
    data->source = (hm_source){.rows = rows->rows,
                               .columns = model->class->latent->units(model),
                               .type = HM_FLOAT32,
                               .unit = 1,
                               .read = encoded_read,
                               .close = encoded_close};
    data->rows = rows;
    data->model = model;
    data->transform = hm_run_transform(run, split, 0);
    *out = &data->source;
    return HM_OK;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

typedef struct encoding {
    hm_cli *cli;
    const encode_options *options;
    hm_run run;
    hm_model *model;
    int64_t rows[2];
} encoding;

static hm_status open_split(encoding *e, hm_split split, hm_import *out)
{
    const char *file = e->run.data.file;
    hm_source *rows;
    int64_t count;
    bool has = false;
    HM_TRY(hm_dataset_has(file, hm_split_names[split], &has));
    if (!has && split == HM_TEST) return HM_OK; /* there need be none */
    HM_TRY(hm_trained_open(&e->run, split, 0, &rows));
    e->rows[split] = rows->rows;
    hm_status status = open_encoded(&e->run, e->model, split, rows, &out->source);
    if (status != HM_OK) rows->close(rows);
    HM_TRY(status);
    out->name = file;
    return hm_dataset_labels(file, hm_split_names[split], &out->labels, &count);
}

static hm_status write_file(encoding *e)
{
    hm_import train = {0}, test = {0};
    hm_status status = open_split(e, HM_TRAIN, &train);
    if (status == HM_OK) status = open_split(e, HM_TEST, &test);
    if (status == HM_OK) status = hm_dataset_write(e->options->output, &train, &test);
    hm_import_free(&train);
    hm_import_free(&test);
    return status;
}

static hm_status report(const encoding *e)
{
    hm_report *report = hm_report_new();
    hm_report_text(report, "file", "data file", e->options->output);
    hm_report_int(report, "train_rows", "training rows", e->rows[HM_TRAIN], NULL);
    hm_report_int(report, "test_rows", "test rows", e->rows[HM_TEST], NULL);
    hm_report_int(report, "columns", "latent units", e->model->class->latent->units(e->model), NULL);
    return hm_report_print(report, e->cli);
}

static hm_status encode(encoding *e, const char *folder)
{
    hm_comm *comm = e->cli->comm;
    HM_TRY(hm_run_load(&e->run, e->cli, folder, &e->options->sets, &e->model));
    if (e->options->data) HM_TRY(hm_run_take_data(&e->run, comm, e->options->data));
    HM_REQUIRE(e->model->class->latent && e->model->class->latent->encode, HM_EUSAGE,
               "%s: a model of family %s has no latent variables that a net infers", folder, e->model->class->name);
    HM_TRY(comm->agree(comm, comm->rank == 0 ? hm_dataset_check_output(e->options->output, e->run.data.file) : HM_OK));
    HM_TRY(comm->agree(comm, comm->rank == 0 ? write_file(e) : HM_OK));
    return report(e);
}

static hm_status run_encode(hm_cli *cli, int argc, char **argv)
{
    encode_options chosen = {0};
    encoding e = {.cli = cli, .options = &chosen};
    int positional;
    hm_status status = hm_options_parse(&hm_command_encode, argc, argv, &chosen, &positional);
    if (status == HM_OK && positional != 1)
        status = hm_fail(HM_EUSAGE, "encode takes one folder, RUN; %d given", positional);
    if (status == HM_OK && !chosen.output)
        status = hm_fail(HM_EUSAGE, "encode needs a file for its result: -o FILE.h5");
    if (status == HM_OK) {
        status = encode(&e, argv[0]);
        hm_model_free(e.model);
        hm_run_free(&e.run);
    }
    hm_options_free(&hm_command_encode, &chosen);
    return status;
}

const hm_command hm_command_encode = {
    .name = "encode",
    .usage = "RUN -o FILE.h5 [--data FILE] [--set KEY=VALUE ...]",
    .describe = "the latent variables of a data set, as a data file",
    .options = options,
    .run = run_encode,
};

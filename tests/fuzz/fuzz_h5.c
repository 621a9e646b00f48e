/* HDF5 files of every kind that HDF5 can make, with the names that Harmonium looks for: the input chooses types,
 * shapes, layouts, filters, links and attributes. (Bytes that are no HDF5 file are HDF5's own to refuse.) */
#include "fuzz.h"
#include "io/checkpoint.h"
#include "io/dataset.h"
#include "io/h5.h"
#include "io/metrics.h"
#include "io/model_file.h"
#include "io/seal.h"
#include "models/model.h"

/* ---- making a file ---------------------------------------------------------------------------------------------- */

enum { DIMS_MAX = 5, WRITE_MAX = 1 << 16 };

/* A type; *owned when it must be closed. */
static hid_t choose_type(fuzz_bytes *bytes, bool *owned)
{
    const hid_t plain[] = {H5T_STD_U8LE,       H5T_IEEE_F32LE, H5T_STD_I32LE,   H5T_STD_I64LE,
                           H5T_IEEE_F64LE,     H5T_STD_U64BE,  H5T_STD_I8LE,    H5T_STD_U16LE,
                           H5T_NATIVE_LDOUBLE, H5T_STD_B32LE,  H5T_STD_REF_OBJ, H5T_C_S1};
    enum { PLAIN = sizeof plain / sizeof plain[0] };
    unsigned choice = fuzz_choice(bytes, PLAIN + 4);
    hsize_t two = 2;
    *owned = choice >= PLAIN;
    if (!*owned) return plain[choice];
    if (choice == PLAIN) return H5Tarray_create2(H5T_STD_U8LE, 1, &two);
    if (choice == PLAIN + 1) return H5Tvlen_create(H5T_IEEE_F32LE);
    hid_t type = H5Tcopy(choice == PLAIN + 2 ? H5T_C_S1 : H5T_STD_I32LE);
    if (choice == PLAIN + 2)
        H5Tset_size(type, H5T_VARIABLE);
    else
        H5Tset_precision(type, 1 + fuzz_choice(bytes, 32));
    return type;
}

static hid_t choose_space(fuzz_bytes *bytes, int *dims, hsize_t size[DIMS_MAX])
{
    static const hsize_t sizes[] = {
        3, 4, 1, 0, 2, 12, 500, 1 << 20, (hsize_t)1 << 31, (hsize_t)1 << 40, (hsize_t)1 << 62};
    *dims = (int)fuzz_choice(bytes, DIMS_MAX + 2) - 1;
    if (*dims < 0) return H5Screate(H5S_NULL);
    if (*dims == 0) return H5Screate(H5S_SCALAR);
    for (int axis = 0; axis < *dims; axis++) size[axis] = sizes[fuzz_choice(bytes, sizeof sizes / sizeof sizes[0])];
    return H5Screate_simple(*dims, size, NULL);
}

static void choose_chunks(fuzz_bytes *bytes, hid_t properties, int dims)
{
    static const H5Z_filter_t filters[] = {H5Z_FILTER_DEFLATE, H5Z_FILTER_FLETCHER32, H5Z_FILTER_SHUFFLE,
                                           H5Z_FILTER_SCALEOFFSET, 32001 /* blosc, a plugin */};
    hsize_t chunk[DIMS_MAX];
    const unsigned level = 1;
    for (int axis = 0; axis < dims; axis++) chunk[axis] = (hsize_t)1 << fuzz_choice(bytes, 31);
    if (dims > 0) H5Pset_chunk(properties, dims, chunk);
    unsigned filter = fuzz_choice(bytes, 8);
    if (filter < 5) H5Pset_filter(properties, filters[filter], H5Z_FLAG_OPTIONAL, 1, &level);
}

static hid_t choose_properties(fuzz_bytes *bytes, hid_t space, int dims)
{
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    switch (fuzz_choice(bytes, 5)) {
    case 0: break; /* contiguous */
    case 1: H5Pset_layout(properties, H5D_COMPACT); break;
    case 2: choose_chunks(bytes, properties, dims); break;
    case 3: H5Pset_external(properties, "/etc/passwd", 0, H5F_UNLIMITED); break;
    default: H5Pset_virtual(properties, space, "/etc/passwd", "x", space);
    }
    return properties;
}

static void write_some(fuzz_bytes *bytes, hid_t dataset, hid_t type, hid_t space)
{
    hssize_t count = H5Sget_simple_extent_npoints(space);
    H5T_class_t class = H5Tget_class(type);
    if (count <= 0 || count > WRITE_MAX || (class != H5T_INTEGER && class != H5T_FLOAT)) return;
    unsigned char *values = malloc((size_t)count);
    for (hssize_t at = 0; at < count; at++) values[at] = (unsigned char)fuzz_byte(bytes);
    H5Dwrite(dataset, H5T_NATIVE_UCHAR, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    free(values);
}

static void make_attributes(fuzz_bytes *bytes, hid_t object);

static void make_dataset(fuzz_bytes *bytes, hid_t file, const char *name, hid_t links)
{
    int dims;
    bool owned;
    hsize_t size[DIMS_MAX];
    hid_t type = choose_type(bytes, &owned), space = choose_space(bytes, &dims, size);
    hid_t properties = choose_properties(bytes, space, dims);
    hid_t dataset = H5Dcreate2(file, name, type, space, links, properties, H5P_DEFAULT);
    if (dataset >= 0) {
        if (H5Pget_layout(properties) < H5D_VIRTUAL && H5Pget_external_count(properties) == 0)
            write_some(bytes, dataset, type, space);
        make_attributes(bytes, dataset);
        H5Dclose(dataset);
    }
    H5Pclose(properties);
    H5Sclose(space);
    if (owned) H5Tclose(type);
}

/* An attribute of any type and shape, with numbers or text in it. */
static void make_attribute(fuzz_bytes *bytes, hid_t object, const char *name)
{
    static const char *const texts[] = {"harmonium-data",
                                        "harmonium-model",
                                        "harmonium-metrics",
                                        "harmonium-checkpoint",
                                        "rbm",
                                        "{model: {hidden: 4}}",
                                        "",
                                        "pcd"};
    static const int64_t numbers[] = {1, 4, 0, 3, 12, 2, -1, INT64_MAX, INT64_MIN, 1 << 20};
    hsize_t size[DIMS_MAX];
    int dims;
    bool owned = false, text = fuzz_choice(bytes, 3) == 0, plain = fuzz_choice(bytes, 4) != 0;
    hid_t type = text ? H5Tcopy(H5T_C_S1) : plain ? H5T_STD_I64LE : choose_type(bytes, &owned);
    hid_t space = plain ? H5Screate(H5S_SCALAR) : choose_space(bytes, &dims, size);
    if (text) H5Tset_size(type, plain ? H5T_VARIABLE : 1 + fuzz_choice(bytes, 40));
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute >= 0 && plain) {
        const char *value = texts[fuzz_choice(bytes, sizeof texts / sizeof texts[0])];
        const int64_t number = numbers[fuzz_choice(bytes, sizeof numbers / sizeof numbers[0])];
        H5Awrite(attribute, text ? type : H5T_NATIVE_INT64, text ? (const void *)&value : (const void *)&number);
    }
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    if (owned || text) H5Tclose(type);
}

static void make_attributes(fuzz_bytes *bytes, hid_t object)
{
    static const char *const names[] = {"height", "width", "columns", "bits", "description", "units"};
    unsigned choices = fuzz_byte(bytes);
    for (int name = 0; name < 6; name++)
        if (choices >> name & 1) make_attribute(bytes, object, names[name]);
}

/* What every file of a format has, so that the input can spend its bytes on the rest. */
static void make_root(fuzz_bytes *bytes, hid_t file, const hm_format *format)
{
    static const char *const names[] = {"family", "config", "seed", "shards", "ranks", "epochs", "visible",
                                        "height", "width",  "step", "epoch",  "data",  "stage"};
    hm_store store = {.path = "", .file = file};
    hm_store_set_text(&store, "/", "format", format->name);
    hm_store_set_int(&store, "/", "format_version", 1);
    if (format == &hm_format_model) hm_store_set_text(&store, "/", "family", hm_model_classes[0]->name);
    for (unsigned name = 0; name < sizeof names / sizeof names[0]; name++)
        if (H5Aexists(file, names[name]) == 0 && fuzz_choice(bytes, 8) != 7) {
            bool text = name < 2 || name == 12;
            if (fuzz_choice(bytes, 4) == 3)
                make_attribute(bytes, file, names[name]);
            else if (text)
                hm_store_set_text(&store, "/", names[name], "model: {hidden: 4}");
            else
                hm_store_set_int(&store, "/", names[name], 1 + fuzz_choice(bytes, 4));
        }
}

static void make_object(fuzz_bytes *bytes, hid_t file, const char *name)
{
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    switch (fuzz_choice(bytes, 8)) {
    case 0: break;
    case 1: H5Lcreate_soft("/elsewhere", file, name, links, H5P_DEFAULT); break;
    case 2: H5Lcreate_external("/etc/passwd", "/x", file, name, links, H5P_DEFAULT); break;
    case 3: {
        hid_t group = H5Gcreate2(file, name, links, H5P_DEFAULT, H5P_DEFAULT);
        if (group >= 0) H5Gclose(group);
        break;
    }
    case 4: H5Lcreate_soft("/", file, name, links, H5P_DEFAULT); break;
    default: make_dataset(bytes, file, name, links);
    }
    H5Pclose(links);
}

static const hm_format *make_file(fuzz_bytes *bytes, const char *path)
{
    static const hm_format *const formats[] = {&hm_format_data, &hm_format_model, &hm_format_metrics,
                                               &hm_format_checkpoint};
    static const char *const objects[][6] = {
        {"/train/x", "/train/y", "/test/x", "/test/y"},
        {"/parameters/W", "/parameters/b", "/parameters/c", "/parameters/mu", "/parameters/lambda",
         "/evaluation/ais/log_z"},
        {"/metrics/step", "/metrics/epoch", "/metrics/seconds", "/metrics/free_energy"},
        {"/parameters/W", "/chains", "/scalars/clock"}};
    unsigned kind = fuzz_choice(bytes, 4);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    FUZZ_CLAIM(file >= 0);
    make_root(bytes, file, formats[kind]);
    for (int object = 0; object < 6 && objects[kind][object]; object++) make_object(bytes, file, objects[kind][object]);
    FUZZ_CLAIM(H5Fclose(file) >= 0);
    return formats[kind];
}

/* ---- reading it ------------------------------------------------------------------------------------------------- */

static void read_data(const char *path)
{
    static const char *const splits[] = {"train", "test"};
    for (int split = 0; split < 2; split++) {
        hm_source *source;
        int32_t *labels = NULL;
        int64_t rows;
        if (fuzz_refused(hm_dataset_open(path, splits[split], &source)) == HM_OK) fuzz_read(source);
        fuzz_refused(hm_dataset_labels(path, splits[split], &labels, &rows));
        free(labels);
    }
}

static void read_model(const char *path)
{
    hm_model_info info;
    hm_model *model;
    const hm_model_class *class = hm_model_classes[0];
    void *settings = calloc(1, class->settings_size);
    double value;
    fuzz_refused(hm_model_file_scalar(path, "/evaluation/ais/log_z", &value));
    if (fuzz_refused(hm_model_file_info(path, &info)) == HM_OK) {
        hm_team team = {.threads = 1};
        fuzz_refused(hm_settings_default(&class->settings, settings));
        if (fuzz_refused(hm_model_declare(class, settings, info.visible, &team, &model)) == HM_OK) {
            if (fuzz_refused(hm_model_file_check(path, &model->layout)) == HM_OK &&
                fuzz_refused(hm_model_allocate(model)) == HM_OK)
                fuzz_refused(hm_model_file_params(path, &model->layout, model->params, NULL));
            hm_model_free(model);
        }
        hm_model_info_free(&info);
    }
    hm_settings_free(&class->settings, settings);
    free(settings);
}

static void read_metrics(const char *path)
{
    static const char *const names[] = {"step", "epoch", "seconds", "free_energy"};
    for (int name = 0; name < 4; name++) {
        double *values = NULL;
        int64_t rows;
        fuzz_refused(hm_metrics_read(path, names[name], &values, &rows));
        free(values);
    }
}

static void read_checkpoint(const char *path)
{
    hm_checkpoint_info info;
    fuzz_refused(hm_seal_add(path, path));
    if (fuzz_refused(hm_checkpoint_read_info(path, &info)) == HM_OK) hm_checkpoint_info_free(&info);
}

static hm_status visit(void *state, const char *name, const hm_shape *shape, const char *description, const char *unit)
{
    (void)state;
    FUZZ_CLAIM(name[0] == '/' && shape->dims <= HM_FIELD_DIMS && description && unit);
    return HM_OK;
}

static void read_any(const char *path)
{
    const hm_format *format;
    hm_store *store;
    if (fuzz_refused(hm_store_open_any(path, &format, &store)) != HM_OK) return;
    fuzz_refused(hm_store_visit(store, visit, NULL));
    hm_store_close(store);
}

static char path[64]; /* a real one: HDF5 wants to know the folder of a file */

static void remove_file(void) { unlink(path); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes bytes = {data, size};
    if (!*path) {
        snprintf(path, sizeof path, "/tmp/harmonium-fuzz-%d.h5", (int)getpid());
        atexit(remove_file);
        hm_h5_setup();
    }
    const hm_format *format = make_file(&bytes, path);
    if (format == &hm_format_data) read_data(path);
    if (format == &hm_format_model) read_model(path);
    if (format == &hm_format_metrics) read_metrics(path);
    if (format == &hm_format_checkpoint) read_checkpoint(path);
    read_any(path);
    return 0;
}

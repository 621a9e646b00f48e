/* A walk over the groups and datasets of a file. HDF5's own walk goes as deep as the file says, which a file of
 * thousands of nested groups, or of a group that contains itself, makes use of. */
#include "io/h5.h"

#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 32, OBJECTS_MAX = 100000, PATH_BYTES = 1024 };

typedef struct walk {
    hm_store *store;
    hm_h5_visitor visit;
    void *state;
    int depth, objects;
    char path[PATH_BYTES]; /* of the object at hand; "" is the root */
    hm_status status;
} walk;

static hm_status visit_object(walk *w, hid_t object);

static hm_status visit_link(walk *w, hid_t group, const char *name, H5L_type_t type)
{
    size_t length = strlen(w->path);
    HM_REQUIRE(++w->objects <= OBJECTS_MAX, HM_EDATA, "%s: holds more than %d objects", w->store->path, OBJECTS_MAX);
    HM_REQUIRE(w->depth < DEPTH_MAX, HM_EDATA, "%s: groups lie more than %d deep", w->store->path, DEPTH_MAX);
    HM_REQUIRE(length + 1 + strlen(name) < PATH_BYTES, HM_EDATA, "%s: a name in it is longer than %d bytes",
               w->store->path, PATH_BYTES);
    if (type != H5L_TYPE_HARD) return HM_OK;
    snprintf(w->path + length, PATH_BYTES - length, "/%s", name);
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    w->depth++;
    hm_status status = object < 0 ? hm_h5_read_failed(w->store, w->path) : visit_object(w, object);
    w->depth--;
    if (object >= 0) H5Oclose(object);
    w->path[length] = '\0';
    return status;
}

static herr_t next_link(hid_t group, const char *name, const H5L_info_t *about, void *state)
{
    walk *w = state;
    w->status = visit_link(w, group, name, about->type);
    return w->status == HM_OK ? 0 : 1;
}

static hm_status visit_object(walk *w, hid_t object)
{
    bool group = H5Iget_type(object) == H5I_GROUP;
    HM_TRY(w->visit(w->state, *w->path ? w->path : "/", object));
    if (!group) return HM_OK;
    herr_t walked = H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, NULL, next_link, w);
    if (walked < 0 && w->status == HM_OK) return hm_h5_read_failed(w->store, *w->path ? w->path : NULL);
    return w->status;
}

hm_status hm_h5_walk(hm_store *store, const char *root, hm_h5_visitor visit, void *state)
{
    walk w = {.store = store, .visit = visit, .state = state};
    if (strcmp(root, "/") != 0) snprintf(w.path, sizeof w.path, "%s", root);
    hid_t object = H5Oopen(store->file, root, H5P_DEFAULT);
    if (object < 0) return hm_h5_read_failed(store, root);
    hm_status status = visit_object(&w, object);
    H5Oclose(object);
    return status;
}

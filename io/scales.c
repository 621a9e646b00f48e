/* Axes as HDF5 dimension scales, in the way of netCDF-4: xarray, h5netcdf and ncdump then know them by name.
 *
 * The scale of an axis is an empty dataset of the axis' name and length, marked as a dimension without coordinates. It
 * takes no room but its header. netCDF looks for it in the group of a dataset and in those around it:
 *
 *     /AXIS              in a file that is being made, so that all tensors of a model share `visible` and `hidden`;
 *     GROUP/AXIS         where /AXIS has another length (the rows of /test), and in a file that is changed later:
 *                        what is added together is removed together;
 *     GROUP/AXIS_LENGTH  where that one has another length too (samples of several sizes).
 */
#include "io/h5.h"

#include <hdf5_hl.h>
#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 512, CANDIDATES = 3 };

/* What the netCDF-4 format writes into NAME of a dimension that has no coordinates; the length follows. */
static const char without_coordinates[] = "This is a netCDF dimension but not a netCDF variable.";

bool hm_h5_is_bare_scale(hid_t dataset)
{
    if (H5DSis_scale(dataset) <= 0) return false;
    char name[sizeof without_coordinates] = "";
    return H5DSget_scale_name(dataset, name, sizeof name) > 0 && strcmp(name, without_coordinates) == 0;
}

/* ---- finding one, or making it ---------------------------------------------------------------------------------- */

static hid_t make_scale(hm_store *store, const char *path, hsize_t length)
{
    char name[sizeof without_coordinates + 16];
    snprintf(name, sizeof name, "%s%10lld", without_coordinates, (long long)length);
    hid_t space = H5Screate_simple(1, &length, NULL), links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    hid_t scale = H5Dcreate2(store->file, path, H5T_IEEE_F32BE, space, links, H5P_DEFAULT, H5P_DEFAULT);
    if (scale >= 0 && H5DSset_scale(scale, name) < 0) {
        H5Dclose(scale);
        scale = -1;
    }
    H5Pclose(links);
    H5Sclose(space);
    return scale;
}

/* The scale at this path, if it is one of this length. */
static hid_t fitting_scale(hm_store *store, const char *path, hsize_t length)
{
    hsize_t there = 0;
    hid_t scale = H5Dopen2(store->file, path, H5P_DEFAULT);
    if (scale < 0) return -1;
    hid_t space = H5Dget_space(scale);
    if (hm_h5_is_bare_scale(scale)) H5Sget_simple_extent_dims(space, &there, NULL);
    H5Sclose(space);
    if (there == length) return scale;
    H5Dclose(scale);
    return -1;
}

/* The scale of an axis of a dataset in `group` ("/train"; "" is the root), open. */
static hid_t scale_of(hm_store *store, const char *group, const char *axis, hsize_t length)
{
    for (int candidate = store->changed ? 1 : 0; candidate < CANDIDATES; candidate++) {
        char path[PATH_ROOM], suffix[32] = "";
        if (candidate == 2) snprintf(suffix, sizeof suffix, "_%lld", (long long)length);
        int written = snprintf(path, sizeof path, "%s/%s%s", candidate > 0 ? group : "", axis, suffix);
        if (written >= PATH_ROOM) return -1;
        hid_t scale = hm_store_has(store, path) ? fitting_scale(store, path, length) : make_scale(store, path, length);
        if (scale >= 0) return scale;
    }
    return -1;
}

/* ---- attaching and detaching ------------------------------------------------------------------------------------ */

hm_status hm_h5_attach_scales(hm_store *store, hid_t dataset, const hm_field *field, const int64_t shape[])
{
    char group[PATH_ROOM];
    const char *slash = strrchr(field->name, '/');
    int length = snprintf(group, sizeof group, "%.*s", slash ? (int)(slash - field->name) : 0, field->name);
    HM_REQUIRE(length < PATH_ROOM, HM_EINTERNAL, "%s: the name %s is too long", store->path, field->name);
    for (int axis = 0; axis < field->dims; axis++) {
        hid_t scale = scale_of(store, group, field->axes[axis], (hsize_t)shape[axis]);
        bool fine = scale >= 0 && H5DSattach_scale(dataset, scale, (unsigned)axis) >= 0;
        if (scale >= 0) H5Dclose(scale);
        if (!fine) return hm_h5_write_failed(store, field->name);
    }
    return HM_OK;
}

/* Keeps the first scale that it is shown. */
static herr_t take_scale(hid_t dataset, unsigned axis, hid_t scale, void *taken)
{
    (void)dataset, (void)axis;
    H5Iinc_ref(scale);
    *(hid_t *)taken = scale;
    return 1;
}

/* One that nothing uses any more. */
static void remove_unused(hid_t scale)
{
    char path[PATH_ROOM];
    if (!hm_h5_is_bare_scale(scale) || H5Aexists(scale, "REFERENCE_LIST") > 0) return;
    ssize_t length = H5Iget_name(scale, path, sizeof path);
    if (length > 0 && length < PATH_ROOM) H5Ldelete(scale, path, H5P_DEFAULT); /* a path from the root */
}

void hm_h5_detach_scales(hid_t dataset)
{
    hid_t space = H5Dget_space(dataset);
    int dims = H5Sget_simple_extent_ndims(space);
    H5Sclose(space);
    for (int axis = 0; axis < dims; axis++)
        for (hid_t scale = -1; H5DSiterate_scales(dataset, (unsigned)axis, NULL, take_scale, &scale) > 0; scale = -1) {
            bool detached = H5DSdetach_scale(dataset, scale, (unsigned)axis) >= 0;
            if (detached) remove_unused(scale);
            H5Dclose(scale);
            if (!detached) return;
        }
}

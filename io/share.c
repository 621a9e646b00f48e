/* A store that all ranks write: rank 0 has made the file, and all open it through MPI-IO. */
#include "core/memory.h"
#include "io/digest.h"
#include "io/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Rank 0's file, on the disk and closed; with room for the digest, which commit stores. */
static hm_status hand_over(hm_store *store)
{
    HM_REQUIRE(store && !store->broken, HM_EOUTPUT, "a file to be shared was not written");
    HM_TRY(hm_digest_write(store));
    if (H5Fflush(store->file, H5F_SCOPE_GLOBAL) < 0) return hm_h5_write_failed(store, NULL);
    hid_t file = store->file;
    store->file = -1;
    hm_temporary_unlock(store->claim); /* MPI-IO locks parts of it on some file systems */
    return H5Fclose(file) < 0 ? hm_h5_write_failed(store, NULL) : HM_OK;
}

/* Rank 0's text to all; the others own theirs. */
static hm_status share_text(hm_comm *comm, char **text)
{
    int64_t length = comm->rank == 0 ? (int64_t)strlen(*text) : 0;
    HM_TRY(comm->broadcast(comm, &length, sizeof length, 0));
    hm_status status = comm->rank == 0 ? HM_OK : hm_alloc(text, length + 1, 1, "a file's name");
    HM_TRY(comm->agree(comm, status));
    return comm->broadcast(comm, *text, (size_t)length, 0);
}

/* A file that a rank cannot see must be found out before MPI_File_open, which would leave the others waiting. */
static hm_status check_visible(const hm_store *store, int64_t size, int rank)
{
    struct stat about;
    HM_REQUIRE(stat(store->temporary, &about) == 0, HM_EOUTPUT,
               "%s: rank %d cannot see it (%s); the output folder must be on a file system that all nodes share",
               store->path, rank, strerror(errno));
    HM_REQUIRE(about.st_size == size, HM_EOUTPUT, "%s: rank %d sees %lld bytes of %lld", store->path, rank,
               (long long)about.st_size, (long long)size);
    return HM_OK;
}

static hm_status open_together(hm_store *store, hm_comm *comm, MPI_Comm mpi)
{
    struct stat about = {0};
    int64_t size = comm->rank == 0 && stat(store->temporary, &about) == 0 ? (int64_t)about.st_size : -1;
    HM_TRY(comm->broadcast(comm, &size, sizeof size, 0));
    HM_TRY(comm->agree(comm, check_visible(store, size, comm->rank)));
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_mpio(access, mpi, MPI_INFO_NULL);
    store->file = H5Fopen(store->temporary, H5F_ACC_RDWR, access);
    hm_status status = store->file < 0 ? hm_h5_write_failed(store, NULL) : HM_OK;
    H5Pclose(access);
    return comm->agree(comm, status);
}

static hm_status share(hm_store **store, hm_comm *comm, MPI_Comm mpi)
{
    bool first = comm->rank == 0;
    HM_TRY(comm->agree(comm, first ? hand_over(*store) : HM_OK));
    hm_status status = first ? HM_OK : hm_alloc(store, 1, sizeof **store, "a file's handle");
    if (!first && status == HM_OK) **store = (hm_store){.claim = -1, .file = -1, .writable = true};
    HM_TRY(comm->agree(comm, status));
    (*store)->comm = comm;
    HM_TRY(share_text(comm, &(*store)->path));
    HM_TRY(share_text(comm, &(*store)->temporary));
    return open_together(*store, comm, mpi);
}

hm_status hm_store_share(hm_store **store, hm_comm *comm, MPI_Comm mpi)
{
    if (comm->size == 1 && *store) return HM_OK; /* one process needs no MPI-IO */
    hm_h5_setup();
    hm_status status = share(store, comm, mpi);
    if (status == HM_OK) return HM_OK;
    hm_store_close(*store);
    *store = NULL;
    return status;
}

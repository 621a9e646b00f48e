# BLAS and LAPACK of any make, and ScaLAPACK and HDF5 of the MPI that was found.
include(CheckFunctionExists)
include(CheckSymbolExists)
include(CMakePushCheckState)

# ---- BLAS and LAPACK ----
# OpenBLAS where pkg-config knows it; with -DBLA_VENDOR=... (Generic, Intel10_64lp, FLAME ...) the one of that name.
# harmonium_blas is its target. HARMONIUM_HAVE_OPENBLAS: it has OpenBLAS's own functions.
if(NOT BLA_VENDOR)
  pkg_check_modules(OPENBLAS IMPORTED_TARGET openblas)
endif()
if(TARGET PkgConfig::OPENBLAS)
  set(harmonium_blas PkgConfig::OPENBLAS)
else()
  find_package(LAPACK REQUIRED)
  set(harmonium_blas LAPACK::LAPACK)
endif()
cmake_push_check_state(RESET)
set(CMAKE_REQUIRED_LIBRARIES ${harmonium_blas})
check_function_exists(openblas_get_corename HARMONIUM_HAVE_OPENBLAS)
cmake_pop_check_state()

# ---- which MPI ----
cmake_push_check_state(RESET)
set(CMAKE_REQUIRED_LIBRARIES MPI::MPI_C)
check_symbol_exists(OPEN_MPI mpi.h HARMONIUM_MPI_IS_OPENMPI)
check_symbol_exists(MPICH_VERSION mpi.h HARMONIUM_MPI_IS_MPICH)
cmake_pop_check_state()
if(HARMONIUM_MPI_IS_OPENMPI)
  set(harmonium_mpi openmpi)
elseif(HARMONIUM_MPI_IS_MPICH)
  set(harmonium_mpi mpich)
else()
  set(harmonium_mpi "")
endif()

# Stops when a library is linked with another MPI than the one found: both in one program end in a crash.
# hm_require_same_mpi(NAME ADVICE LIBRARY...)
function(hm_require_same_mpi name advice)
  if(NOT CMAKE_READELF OR NOT harmonium_mpi)
    return()
  endif()
  set(other_of_openmpi "libmpich\\.so")
  set(other_of_mpich "libmpi\\.so\\.40|libopen-(pal|rte)\\.so")
  foreach(library IN LISTS ARGN)
    if(NOT library MATCHES "\\.so")
      continue()
    endif()
    execute_process(COMMAND ${CMAKE_READELF} -d ${library} OUTPUT_VARIABLE needed ERROR_QUIET)
    if(needed MATCHES "${other_of_${harmonium_mpi}}")
      message(FATAL_ERROR "${name} (${library}) was built with another MPI (${CMAKE_MATCH_0}) than the one found, "
                          "${harmonium_mpi} (${MPI_C_LIBRARIES}). ${advice}")
    endif()
  endforeach()
endfunction()

# ---- ScaLAPACK ----
# Debian has one for each MPI, with its name behind. -DSCALAPACK_LIBRARY=FILE names another.
list(GET MPI_C_LIBRARIES 0 mpi_library)
get_filename_component(mpi_folder ${mpi_library} DIRECTORY)
find_library(SCALAPACK_LIBRARY NAMES scalapack-${harmonium_mpi} scalapack HINTS ${mpi_folder})
if(NOT SCALAPACK_LIBRARY)
  message(FATAL_ERROR "no ScaLAPACK for the MPI that was found (${harmonium_mpi}, ${MPI_C_LIBRARIES}); install it (Debian: "
                      "libscalapack-${harmonium_mpi}-dev), or name it with -DSCALAPACK_LIBRARY=FILE")
endif()
hm_require_same_mpi(ScaLAPACK "Install libscalapack-${harmonium_mpi}-dev, or name the library with -DSCALAPACK_LIBRARY=FILE."
                    ${SCALAPACK_LIBRARY})

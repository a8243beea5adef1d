# find_package(fingergen) with CMAKE_PREFIX_PATH from `python -m fingergen.runtime.c_api` gives fingergen::fingergen.
get_filename_component(_fingergen_folder "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
get_filename_component(_fingergen_library "${_fingergen_folder}/../../cpp_ops/libfingergen.so" ABSOLUTE)
if(NOT EXISTS "${_fingergen_library}")
  set(fingergen_FOUND FALSE)
  set(fingergen_NOT_FOUND_MESSAGE "libfingergen.so was not built with this install of FingerGen: see fg-run info")
elseif(NOT TARGET fingergen::fingergen)
  add_library(fingergen::fingergen SHARED IMPORTED)
  set_target_properties(fingergen::fingergen PROPERTIES IMPORTED_LOCATION "${_fingergen_library}"
    IMPORTED_NO_SONAME TRUE INTERFACE_INCLUDE_DIRECTORIES "${_fingergen_folder}/include")
endif()

# Defines APOLLO_ABI (scripts/abi.mjs) for the sources that hand over or check a library's table of functions. It follows
# the headers, and not all sources, so that only these are compiled again when it changes.
find_program(NODE_EXECUTABLE NAMES node nodejs REQUIRED)
foreach(_argument "" "--headers")
  execute_process(
    COMMAND ${NODE_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/../scripts/abi.mjs ${_argument}
    OUTPUT_VARIABLE _abi${_argument}
    OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)
endforeach()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${_abi--headers}
                                                      ${CMAKE_CURRENT_LIST_DIR}/../scripts/abi.mjs)

function(apollo_abi)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_DEFINITIONS APOLLO_ABI=${_abi})
endfunction()

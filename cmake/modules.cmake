# deft_module(NAME [DEPS module...] [LIBS library...] [SOURCES file...])
#
# One folder below src/ is one module: an object library deft_NAME_obj (for the combined
# archives) and a static library deft_NAME (for tests). A module sees only its own headers and
# those of the modules it names: the arrows of the architecture are include paths, laid out as
# links in the build tree so that includes read "graph/scalar.h".
function(deft_module name)
  cmake_parse_arguments(M "" "" "DEPS;LIBS;SOURCES" ${ARGN})
  if(NOT M_SOURCES)
    file(GLOB M_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.c)
  endif()
  if(NOT M_SOURCES) # a module under construction
    set(M_SOURCES ${PROJECT_BINARY_DIR}/empty.c)
    file(WRITE ${M_SOURCES} "typedef int deft_empty;\n")
  endif()
  set(inc ${PROJECT_BINARY_DIR}/include/${name})
  file(MAKE_DIRECTORY ${inc})
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR}/${name} ${inc}/${name} SYMBOLIC)

  add_library(deft_${name}_obj OBJECT ${M_SOURCES})
  target_include_directories(deft_${name}_obj PUBLIC ${PROJECT_SOURCE_DIR}/include ${inc})
  set_target_properties(deft_${name}_obj PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(deft_${name}_obj PRIVATE deft_flags ${M_LIBS})

  add_library(deft_${name} STATIC $<TARGET_OBJECTS:deft_${name}_obj>)
  set_target_properties(deft_${name} PROPERTIES LINKER_LANGUAGE C)
  target_include_directories(deft_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include ${inc})
  target_link_libraries(deft_${name} PUBLIC ${M_LIBS} m)
  foreach(dep ${M_DEPS})
    target_include_directories(deft_${name}_obj PRIVATE ${PROJECT_BINARY_DIR}/include/${dep})
    target_link_libraries(deft_${name} PUBLIC deft_${dep})
  endforeach()
endfunction()

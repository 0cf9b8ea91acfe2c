# Checks the extension's description and writes it (test double, see SlicerConfig).
foreach(field HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL DEPENDS)
  if("${EXTENSION_${field}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${field} is empty")
  endif()
endforeach()

set(standin_description "${CMAKE_BINARY_DIR}/${PROJECT_NAME}.s4ext")
file(WRITE "${standin_description}" "")
foreach(field HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  string(TOLOWER "${field}" name)
  file(APPEND "${standin_description}" "${name} ${EXTENSION_${field}}\n")
endforeach()
install(FILES "${standin_description}" DESTINATION "share/Slicer-${Slicer_VERSION}"
  COMPONENT RuntimeLibraries)

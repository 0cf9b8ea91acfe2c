# The macros of Slicer and CTK that a scripted extension calls (test double, see SlicerConfig).
include(CTest)

# Refuses what Slicer passes over in silence: a file of the folder that no list names.
function(standin_refuse_unlisted folder source_dir)
  file(GLOB_RECURSE present RELATIVE "${source_dir}"
    "${folder}/*.py" "${folder}/*.ui" "${folder}/*.png" "${folder}/*.svg" "${folder}/*.json")
  foreach(file IN LISTS present)
    if(NOT file IN_LIST ARGN)
      message(SEND_ERROR "The file '${file}' is in no list, so Slicer would not install it")
    endif()
  endforeach()
endfunction()

function(standin_copy_and_install target source_dir destination install_dir)
  set(copies "")
  foreach(file IN LISTS ARGN)
    if(NOT EXISTS "${source_dir}/${file}")
      message(FATAL_ERROR "The listed file '${file}' does not exist")
    endif()
    add_custom_command(
      OUTPUT "${destination}/${file}"
      COMMAND ${CMAKE_COMMAND} -E copy "${source_dir}/${file}" "${destination}/${file}"
      DEPENDS "${source_dir}/${file}"
      )
    list(APPEND copies "${destination}/${file}")
  endforeach()
  add_custom_target("${target}" ALL DEPENDS ${copies})
  install(DIRECTORY "${destination}/" DESTINATION "${install_dir}" COMPONENT RuntimeLibraries)
endfunction()

# As in CTK: files keep their path below SOURCE_DIR, and the destination is installed whole.
function(ctkMacroCompilePythonScript)
  cmake_parse_arguments(PARSE_ARGV 0 MY "NO_INSTALL_SUBDIR"
    "TARGET_NAME;SOURCE_DIR;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES")
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NO_INSTALL_SUBDIR)
    message(FATAL_ERROR "The stand-in does not know this call of ctkMacroCompilePythonScript")
  endif()
  get_filename_component(source_dir "${MY_SOURCE_DIR}" REALPATH)
  standin_refuse_unlisted("${CMAKE_CURRENT_SOURCE_DIR}" "${source_dir}" ${MY_SCRIPTS} ${MY_RESOURCES})
  standin_copy_and_install(${MY_TARGET_NAME} "${source_dir}" "${MY_DESTINATION_DIR}"
    "${MY_INSTALL_DIR}" ${MY_SCRIPTS} ${MY_RESOURCES})
endfunction()

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(PARSE_ARGV 0 MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES")
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME)
    message(FATAL_ERROR "The stand-in does not know this call of slicerMacroBuildScriptedModule")
  endif()
  ctkMacroCompilePythonScript(
    TARGET_NAME ${MY_NAME}Module
    SOURCE_DIR "${CMAKE_CURRENT_SOURCE_DIR}"
    SCRIPTS "${MY_SCRIPTS}"
    RESOURCES "${MY_RESOURCES}"
    DESTINATION_DIR "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}"
    INSTALL_DIR "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}"
    NO_INSTALL_SUBDIR
    )
endfunction()

# Registers the test under Slicer's name for it; only a real Slicer can run it.
function(slicer_add_python_unittest)
  cmake_parse_arguments(PARSE_ARGV 0 MY "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS")
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT}")
    message(FATAL_ERROR "The test script '${MY_SCRIPT}' does not exist")
  endif()
  get_filename_component(name "${MY_SCRIPT}" NAME_WE)
  add_test(NAME "py_${MY_TESTNAME_PREFIX}${name}"
    COMMAND ${Slicer_LAUNCHER_EXECUTABLE} --testing ${MY_SLICER_ARGS} --python-code
      "import slicer.testing; slicer.testing.runUnitTest(['${CMAKE_CURRENT_SOURCE_DIR}'], '${name}')")
endfunction()

# A stand-in for the CMake package of Slicer (a test double, not Slicer).
#
# It lets `find_package(Slicer)` succeed with -DSlicer_DIR=<this folder>, so that the
# extension configures, builds, installs and is packaged without Slicer. It is stricter than
# the original in one thing: a file that lies in a listed folder and is not named is an error.
set(Slicer_VERSION "5.13")
set(Slicer_LIB_DIR "lib/Slicer-${Slicer_VERSION}")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_LIB_DIR}/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
set(Slicer_LAUNCHER_EXECUTABLE "Slicer")

set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/ExtensionCPack.cmake")
set(Slicer_FOUND TRUE)

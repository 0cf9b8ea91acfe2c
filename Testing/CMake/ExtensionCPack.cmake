# Packages the extension as the Extensions Manager receives it (test double, see SlicerConfig).
set(CPACK_GENERATOR "TGZ")
set(CPACK_PACKAGE_NAME "${PROJECT_NAME}")
set(CPACK_PACKAGE_FILE_NAME "00000-${PROJECT_NAME}")
set(CPACK_INCLUDE_TOPLEVEL_DIRECTORY TRUE)
include(CPack)

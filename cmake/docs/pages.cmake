# smx_pages: the Markdown files of the project that are pages of its documentation; smx_page_images: the pictures that they show.
# Both relative to the project.
set(guides README getting_started choosing_a_function numerics performance reproducibility from_three_loops from_pytorch from_onednn)
list(TRANSFORM guides REPLACE "(.+)" "examples/guides/\\1.md")
set(smx_pages README.md ${guides} examples/README.md bench/README.md tests/README.md tests/fuzz/README.md
    cmake/packages/README.md .github/CONTRIBUTING.md)
set(smx_page_images "")
foreach(page IN LISTS smx_pages)
  get_filename_component(folder "${PROJECT_SOURCE_DIR}/${page}" DIRECTORY)
  file(STRINGS "${PROJECT_SOURCE_DIR}/${page}" lines REGEX "^!\\[[^]]*\\]\\([^)]*\\)$")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^.*\\((.*)\\)$" "\\1" image "${line}")
    get_filename_component(image "${folder}/${image}" ABSOLUTE)
    file(RELATIVE_PATH image "${PROJECT_SOURCE_DIR}" "${image}")
    list(APPEND smx_page_images "${image}")
  endforeach()
endforeach()
list(REMOVE_DUPLICATES smx_page_images)

# What: which sources are in the addon, which of them know neither libuv nor JavaScript, and where Node's headers are.
# Flow: native/ -> this -> CMakeLists.txt, test/native/CMakeLists.txt.
# Thread: none.
set(NATIVE ${CMAKE_CURRENT_LIST_DIR})

# What knows neither libuv nor JavaScript: in both addons, and in the stress program.
set(ENGINE_SOURCES
  ${NATIVE}/loop/round.cc
  ${NATIVE}/driver/driver.cc
  ${NATIVE}/driver/socket.cc
  ${NATIVE}/driver/socket_driver.cc
  ${NATIVE}/shared/runtime.cc)
if(WIN32)
  list(APPEND ENGINE_SOURCES
    ${NATIVE}/driver/windows/create.cc
    ${NATIVE}/driver/windows/no_sockets_driver.cc
    ${NATIVE}/driver/windows/socket.cc
    ${NATIVE}/driver/iocp/arrivals.cc
    ${NATIVE}/driver/iocp/completion_port.cc
    ${NATIVE}/driver/iocp/iocp_driver.cc
    ${NATIVE}/driver/iocp/iocp_receive.cc
    ${NATIVE}/driver/iocp/iocp_send.cc
    ${NATIVE}/driver/iocp/socket_calls.cc
    ${NATIVE}/driver/iocp/windows_status.cc)
else()
  list(APPEND ENGINE_SOURCES
    ${NATIVE}/driver/linux/create.cc
    ${NATIVE}/driver/linux/socket.cc
    ${NATIVE}/driver/linux_status.cc
    ${NATIVE}/driver/epoll/epoll_driver.cc
    ${NATIVE}/driver/epoll/socket_calls.cc
    ${NATIVE}/driver/none/none_driver.cc
    ${NATIVE}/driver/uring/uring_driver.cc
    ${NATIVE}/driver/uring/uring_probe.cc
    ${NATIVE}/driver/uring/uring_receive.cc
    ${NATIVE}/driver/uring/uring_ring.cc
    ${NATIVE}/driver/uring/uring_send.cc)
endif()

set(ACCEPTOR_SOURCES
  ${NATIVE}/loop/acceptor.cc)

set(ADDON_SOURCES
  ${NATIVE}/addon.cc
  ${NATIVE}/napi/binding.cc
  ${NATIVE}/loop/loop.cc)
if(WIN32)
  list(APPEND ADDON_SOURCES ${NATIVE}/loop/windows/outer_loop.cc)
else()
  list(APPEND ADDON_SOURCES ${NATIVE}/loop/linux/nested_loop.cc)
endif()

# On Windows an addon is linked with libraries that say what the Node binary has. They are made from lists of names.
function(add_node_libraries result headers)
  set(libraries)
  foreach(list ${headers}/../def/node_api.def ${headers}/../def/js_native_api.def ${NATIVE}/loop/windows/uv.def)
    get_filename_component(name ${list} NAME_WE)
    set(library ${CMAKE_BINARY_DIR}/${name}.lib)
    if(MSVC)
      execute_process(COMMAND ${CMAKE_AR} /def:${list} /out:${library} /machine:x64 RESULT_VARIABLE failed)
    else()
      execute_process(COMMAND ${CMAKE_DLLTOOL} -d ${list} -l ${library} RESULT_VARIABLE failed)
    endif()
    if(failed)
      message(FATAL_ERROR "no import library can be made of ${list}")
    endif()
    list(APPEND libraries ${library})
  endforeach()
  set(${result} ${libraries} PARENT_SCOPE)
endfunction()

# Headers come from npm packages, never from a download; Node is asked where they are.
function(find_node_headers result)
  foreach(package node-addon-api node-api-headers)
    execute_process(
      COMMAND node -p "path.resolve(require('${package}').include_dir)"
      WORKING_DIRECTORY ${NATIVE}
      OUTPUT_VARIABLE directory
      OUTPUT_STRIP_TRAILING_WHITESPACE
      RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR "${package} is not installed; run npm ci")
    endif()
    list(APPEND directories ${directory})
  endforeach()
  set(${result} ${directories} PARENT_SCOPE)
endfunction()

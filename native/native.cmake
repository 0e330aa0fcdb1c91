# What: which sources are in the addon, which of them know neither libuv nor JavaScript, and where Node's headers are.
# Flow: native/ -> this -> CMakeLists.txt, test/native/CMakeLists.txt.
# Thread: none.
set(NATIVE ${CMAKE_CURRENT_LIST_DIR})

# What knows neither libuv nor JavaScript: in both addons, and in the stress program.
set(ENGINE_SOURCES
  ${NATIVE}/loop/round.cc
  ${NATIVE}/driver/driver.cc
  ${NATIVE}/driver/linux_status.cc
  ${NATIVE}/driver/socket.cc
  ${NATIVE}/driver/socket_driver.cc
  ${NATIVE}/driver/epoll/epoll_driver.cc
  ${NATIVE}/driver/none/none_driver.cc
  ${NATIVE}/driver/uring/uring_driver.cc
  ${NATIVE}/driver/uring/uring_probe.cc
  ${NATIVE}/driver/uring/uring_receive.cc
  ${NATIVE}/driver/uring/uring_ring.cc
  ${NATIVE}/driver/uring/uring_send.cc
  ${NATIVE}/shared/runtime.cc)

set(ACCEPTOR_SOURCES
  ${NATIVE}/loop/acceptor.cc)

set(ADDON_SOURCES
  ${NATIVE}/addon.cc
  ${NATIVE}/napi/binding.cc
  ${NATIVE}/loop/loop.cc)

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

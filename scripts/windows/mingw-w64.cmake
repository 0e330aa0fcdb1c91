# What: the cross compiler that builds the addon for Windows on Linux.
# Flow: scripts/build_windows.mjs -> this -> CMakeLists.txt.
# Thread: none.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR AMD64)
set(TRIPLE x86_64-w64-mingw32)
# The variant with std::thread and std::mutex.
set(CMAKE_CXX_COMPILER ${TRIPLE}-g++-posix)
set(CMAKE_RC_COMPILER ${TRIPLE}-windres)
set(CMAKE_DLLTOOL ${TRIPLE}-dlltool CACHE STRING "")
set(CMAKE_FIND_ROOT_PATH /usr/${TRIPLE})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)

// What the kernels share: the library, the threads and the mutex that one operator holds at a time.
#ifndef MINDCV_SHARED_H
#define MINDCV_SHARED_H

#include <mutex>

#include "_onednn.h"
#include "_threads.h"

namespace mindcv {

struct Shared {
  std::mutex mutex;
  Pool pool;
  onednn::Library library;
  onednn::Engine engine = nullptr;
  onednn::Stream stream = nullptr;
  bool is_ready = false;
};

// Never destroyed: MindSpore's threads may still run when the process ends.
Shared &shared();

// What an operator returns to MindSpore, which turns all but 0 into a RuntimeError that has the number.
enum Result { OK = 0, NOT_READY = 101, BAD_ARGUMENTS = 102, FAILED = 103 };

}  // namespace mindcv

#endif  // MINDCV_SHARED_H

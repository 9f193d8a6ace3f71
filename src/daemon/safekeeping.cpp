#include "daemon/safekeeping.hpp"

#include "base/result.hpp"
#include "base/vault.hpp"

#include <openssl/crypto.h>

#include <malloc.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

void wipe_and_free(void* memory) noexcept {
    if (memory == nullptr) return;
    explicit_bzero(memory, malloc_usable_size(memory));
    std::free(memory);
}

}  // namespace

// The JSON of an inline key, its line in a stream, a string that grew: none of them wipes what it leaves
// behind. The address sanitizer has its own, which fills what is freed.
#ifndef __SANITIZE_ADDRESS__
void operator delete(void* memory) noexcept { wipe_and_free(memory); }
void operator delete[](void* memory) noexcept { wipe_and_free(memory); }
void operator delete(void* memory, std::size_t) noexcept { wipe_and_free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { wipe_and_free(memory); }
#endif

namespace aronet::daemon {
namespace {

using base::Vault;

// In front of each piece: OpenSSL does not say how large what it frees was.
struct alignas(std::max_align_t) Size {
    std::size_t whole;
};

Size* front_of(void* memory) { return static_cast<Size*>(memory) - 1; }

void* take(std::size_t size, const char*, int) {
    if (size == 0) return nullptr;
    try {
        const std::size_t whole = size + sizeof(Size);
        return new (Vault::of_process().take(whole).data()) Size{whole} + 1;
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void give_back(void* memory, const char*, int) {
    if (memory == nullptr) return;
    Size* size = front_of(memory);
    Vault::of_process().give_back({reinterpret_cast<base::Byte*>(size), size->whole});
}

void* take_again(void* memory, std::size_t size, const char* file, int line) {
    void* larger = take(size, file, line);
    if (memory == nullptr || (larger == nullptr && size != 0)) return larger;
    if (larger != nullptr)
        std::memcpy(larger, memory, std::min(size, front_of(memory)->whole - sizeof(Size)));
    give_back(memory, file, line);
    return larger;
}

void raise_lock_limit() {
    rlimit limit{RLIM_INFINITY, RLIM_INFINITY};  // as root may, which later gives up that it may do without
    if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0 || getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_MEMLOCK, &limit);
}

}  // namespace

Safekeeping::Safekeeping() {
    getrlimit(RLIMIT_CORE, &core_before_);
    const rlimit none{0, core_before_.rlim_max};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    raise_lock_limit();
    base::ensure(
        CRYPTO_set_mem_functions(take, take_again, give_back) == 1, "nothing has used OpenSSL before"
    );
}

void Safekeeping::allow_core_dumps() {
    setrlimit(RLIMIT_CORE, &core_before_);
    prctl(PR_SET_DUMPABLE, 1);
}

}  // namespace aronet::daemon

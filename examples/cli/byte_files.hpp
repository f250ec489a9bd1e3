// SPDX-License-Identifier: BSL-1.0
#pragma once

// Bytes in from a file or a pipe, and out to one, so that a file comes into being whole or not at all. POSIX.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits.h>
#include <stdexcept>
#include <string>

struct file_error : std::runtime_error {
    using std::runtime_error::runtime_error;
    file_error(const std::string& name, const char* what, int error)
        : std::runtime_error(name + ": cannot " + what + ": " + std::strerror(error)) {}
};

/// Reads a file, or standard input for "-".
class byte_source {
public:
    explicit byte_source(const std::string& path) : name_(path == "-" ? "standard input" : path) {
        fd_ = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd_ < 0) throw file_error(name_, "open", errno);
        struct stat s;
        if (::fstat(fd_, &s) != 0) throw file_error(name_, "look at", errno);
        if (S_ISDIR(s.st_mode)) throw file_error(name_, "read", EISDIR);
        regular_ = S_ISREG(s.st_mode);
        if (regular_) {
            const off_t at = ::lseek(fd_, 0, SEEK_CUR);
            begin_ = at < 0 ? 0 : static_cast<std::uint64_t>(at);
            if (static_cast<std::uint64_t>(s.st_size) > begin_) size_ = static_cast<std::uint64_t>(s.st_size) - begin_;
        }
    }
    byte_source(const byte_source&) = delete;
    byte_source& operator=(const byte_source&) = delete;
    ~byte_source() {
        if (fd_ > STDIN_FILENO) ::close(fd_);
    }

    const std::string& name() const noexcept { return name_; }
    /// Can be read at any place, with read_at.
    bool regular() const noexcept { return regular_; }
    /// Bytes in all; 0 if it is not a regular file.
    std::uint64_t size() const noexcept { return size_; }
    /// Bytes read one after the other so far.
    std::uint64_t consumed() const noexcept { return consumed_; }

    /// The next bytes, fewer only where the file ends.
    std::size_t read(void* to, std::size_t count) {
        std::size_t done = 0;
        while (done < count) {
            const ssize_t n =
                ::read(fd_, static_cast<char*>(to) + done, count - done < largest_call ? count - done : largest_call);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) throw file_error(name_, "read", errno);
            if (n == 0) break;
            done += static_cast<std::size_t>(n);
        }
        consumed_ += done;
        return done;
    }

    /// Bytes at a place, counted from where reading began; fewer only where the file ends.
    std::size_t read_at(void* to, std::size_t count, std::uint64_t place) const {
        std::size_t done = 0;
        while (done < count) {
            const ssize_t n =
                ::pread(fd_, static_cast<char*>(to) + done, count - done < largest_call ? count - done : largest_call,
                        static_cast<off_t>(begin_ + place + done));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) throw file_error(name_, "read", errno);
            if (n == 0) break;
            done += static_cast<std::size_t>(n);
        }
        return done;
    }

    /// From a pipe to a file without a name, for what has to be read twice.
    void spool() {
        std::FILE* file = std::tmpfile();
        if (file == nullptr) throw file_error("a temporary file", "make", errno);
        const int copy = ::dup(::fileno(file));
        std::fclose(file);
        if (copy < 0) throw file_error("a temporary file", "make", errno);
        std::string buffer(1 << 20, '\0');
        const std::uint64_t before = consumed_;
        std::uint64_t written = 0;
        while (const std::size_t n = read(buffer.data(), buffer.size())) {
            for (std::size_t done = 0; done < n;) {
                const ssize_t w = ::write(copy, buffer.data() + done, n - done);
                if (w < 0 && errno == EINTR) continue;
                if (w < 0) {
                    const int error = errno;
                    ::close(copy);
                    throw file_error("a temporary file", "write", error);
                }
                done += static_cast<std::size_t>(w);
            }
            written += n;
        }
        if (fd_ > STDIN_FILENO) ::close(fd_);
        fd_ = copy;
        regular_ = true;
        begin_ = 0 - before;  // places are those of the pipe
        size_ = before + written;
        consumed_ = before;
    }

private:
    static constexpr std::size_t largest_call = std::size_t(1) << 30;
    std::string name_;
    int fd_ = -1;
    bool regular_ = false;
    std::uint64_t begin_ = 0, size_ = 0, consumed_ = 0;
};

/// Writes a file, or standard output for "-". A regular file has its name, or its new content, from commit() on: whatever ends the
/// program before that, what was there before is there still. Without a name of its own until then where the file system
/// can do that, so that even a kill leaves nothing behind; elsewhere as .name.XXXXXX beside it, which signals that can be caught remove.
class byte_sink {
public:
    explicit byte_sink(const std::string& path, bool may_be_unnamed = true)
        : name_(path == "-" ? "standard output" : path) {
        struct stat s;
        if (path == "-") {
            fd_ = STDOUT_FILENO;
            random_ = ::fstat(fd_, &s) == 0 && S_ISREG(s.st_mode) && (::fcntl(fd_, F_GETFL) & O_APPEND) == 0;
            const off_t at = random_ ? ::lseek(fd_, 0, SEEK_CUR) : 0;
            begin_ = at < 0 ? 0 : static_cast<std::uint64_t>(at);
            return;
        }
        const bool exists = ::stat(path.c_str(), &s) == 0;
        if (exists && !S_ISREG(s.st_mode)) {  // a device or a named pipe
            fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
            if (fd_ < 0) throw file_error(name_, "open", errno);
            return;
        }
        target_ = path;
        if (char resolved[PATH_MAX]; exists && ::realpath(path.c_str(), resolved) != nullptr)
            target_ = resolved;  // through links
        if (exists && ::access(target_.c_str(), W_OK) != 0) throw file_error(name_, "write", errno);
        const std::size_t slash = target_.rfind('/');
        folder_ = slash == std::string::npos ? "." : slash == 0 ? "/" : target_.substr(0, slash);
        file_ = slash == std::string::npos ? target_ : target_.substr(slash + 1);
        random_ = true;
#if defined(O_TMPFILE)
        if (may_be_unnamed && ::access("/proc/self/fd", X_OK) == 0)
            fd_ = ::open(folder_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
#endif
        if (fd_ < 0) open_named();
        if (exists) (void)!::fchmod(fd_, s.st_mode & 07777);
    }
    byte_sink(const byte_sink&) = delete;
    byte_sink& operator=(const byte_sink&) = delete;
    ~byte_sink() {
        remove_named();
        if (fd_ > STDOUT_FILENO) ::close(fd_);
    }

    const std::string& name() const noexcept { return name_; }
    /// write_at is possible.
    bool random_access() const noexcept { return random_; }
    std::uint64_t written() const noexcept { return written_; }

    void write(const void* from, std::size_t count) {
        for (std::size_t done = 0; done < count;) {
            const ssize_t n = ::write(fd_, static_cast<const char*>(from) + done, count - done);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) throw file_error(name_, "write", errno);
            done += static_cast<std::size_t>(n);
        }
        written_ += count;
    }

    /// At a place counted from the first byte of write(), which goes on after the last one it wrote itself.
    void write_at(const void* from, std::size_t count, std::uint64_t place) {
        for (std::size_t done = 0; done < count;) {
            const ssize_t n = ::pwrite(fd_, static_cast<const char*>(from) + done, count - done,
                                       static_cast<off_t>(begin_ + place + done));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) throw file_error(name_, "write", errno);
            done += static_cast<std::size_t>(n);
        }
    }

    /// All is written: now the file may be seen.
    void commit() {
        if (target_.empty()) return;
        if (::fsync(fd_) != 0) throw file_error(name_, "write", errno);
        if (named_.empty()) link_unnamed();
        if (!named_.empty()) {
            if (::rename(named_.c_str(), target_.c_str()) != 0) throw file_error(name_, "replace", errno);
            named_.clear();
            pending() = nullptr;
        }
        const int folder = ::open(folder_.c_str(), O_RDONLY | O_CLOEXEC);
        if (folder >= 0) {
            ::fsync(folder);
            ::close(folder);
        }
    }

private:
    static const char*& pending() {
        static const char* path = nullptr;
        return path;
    }
    static void remove_and_die(int signal) {
        if (pending() != nullptr) ::unlink(pending());
        std::signal(signal, SIG_DFL);
        std::raise(signal);
    }
    void open_named() {
        named_ = folder_ + "/." + file_ + ".XXXXXX";
        fd_ = ::mkstemp(named_.data());
        if (fd_ < 0) {
            named_.clear();
            throw file_error(name_, "make", errno);
        }
        const mode_t mask = ::umask(0);
        ::umask(mask);
        ::fchmod(fd_, 0666 & ~mask);
        pending() = named_.c_str();
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) std::signal(signal, remove_and_die);
    }
    void remove_named() noexcept {
        if (!named_.empty()) ::unlink(named_.c_str());
        pending() = nullptr;
    }
    /// A link cannot replace a file: where there is one, the new file gets a name beside it first.
    void link_unnamed() {
        const std::string self = "/proc/self/fd/" + std::to_string(fd_);
        if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, target_.c_str(), AT_SYMLINK_FOLLOW) == 0) return;
        if (errno != EEXIST) throw file_error(name_, "make", errno);
        std::string beside = folder_ + "/." + file_ + "." + std::to_string(::getpid());
        if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, beside.c_str(), AT_SYMLINK_FOLLOW) != 0)
            throw file_error(name_, "make", errno);
        named_ = beside;
    }

    std::string name_, target_, folder_, file_, named_;
    int fd_ = -1;
    bool random_ = false;
    std::uint64_t begin_ = 0, written_ = 0;
};

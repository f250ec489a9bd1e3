// SPDX-License-Identifier: BSL-1.0

// The command-line tool as a process: formats, pipes, huge and damaged files, a full disk, a kill in the middle.

#include "../../examples/cli/byte_files.hpp"
#include "../../examples/npy.hpp"

#include <safe_softmax/safe_softmax.hpp>

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;
using smx::element_format;

std::string contents(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

struct outcome {
    int status;  // -signal where one ended it
    std::string out, err;
};

class SoftmaxCli : public testing::Test {
protected:
    SoftmaxCli() {
        std::string pattern = (fs::temp_directory_path() / "softmax_cli_test.XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
        dir_ = pattern;
    }
    ~SoftmaxCli() override {
        std::error_code ignored;
        fs::remove_all(dir_, ignored);
    }

    void write(const std::string& name, const std::string& bytes) const {
        std::ofstream(dir_ / name, std::ios::binary) << bytes;
    }
    std::string read(const std::string& name) const { return contents(dir_ / name); }
    std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (const auto& entry : fs::directory_iterator(dir_)) all.push_back(entry.path().filename().string());
        std::sort(all.begin(), all.end());
        return all;
    }

    /// A line of the shell, in the folder; `cli` is the tool.
    outcome shell(const std::string& line) const {
        const std::string all = "cd '" + dir_.string() + "' && cli() { '" SOFTMAX_CLI "' \"$@\"; } && { " + line +
                                "\n} >.out 2>.err </dev/null";
        const int status = std::system(("bash -c '" + quoted(all) + "'").c_str());
        outcome o{WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read(".out"), read(".err")};
        fs::remove(dir_ / ".out");
        fs::remove(dir_ / ".err");
        return o;
    }
    static std::string quoted(const std::string& text) {
        std::string result;
        for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
        return result;
    }

    /// Starts the tool on `in` without waiting.
    pid_t start(const std::string& in, const std::string& out) const {
        const pid_t child = ::fork();
        if (child == 0) {
            if (::chdir(dir_.c_str()) == 0)
                ::execl(SOFTMAX_CLI, "softmax_cli", "softmax", in.c_str(), out.c_str(), static_cast<char*>(nullptr));
            ::_exit(99);
        }
        return child;
    }

    fs::path dir_;
};

// ---- arrays -------------------------------------------------------------------------------------------------------------

element_format format_of_size(std::size_t size) {
    return size == 2 ? element_format::binary16 : size == 4 ? element_format::binary32 : element_format::binary64;
}

/// Elements in the processor's order of bytes.
std::string elements(std::size_t size, std::size_t count, unsigned seed = 1) {
    std::mt19937 engine(seed);
    std::string bytes(count * size, '\0');
    for (std::size_t i = 0; i < count; ++i) {
        const float x = static_cast<float>(engine() % 4001) / 200 - 10;
        const auto put = [&](auto value) { std::memcpy(bytes.data() + i * size, &value, size); };
        if (size == 2) put(smx::float16(x));
        else if (size == 4) put(x);
        else put(static_cast<double>(x) * 1.0000001);
    }
    return bytes;
}

std::string swapped(std::string bytes, std::size_t size, bool big_endian) {
    if (big_endian != (std::endian::native == std::endian::big))
        for (std::size_t i = 0; i < bytes.size(); i += size)
            std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                         bytes.begin() + static_cast<std::ptrdiff_t>(i + size));
    return bytes;
}

std::string npy_file(const npy::header& h, const std::string& native) {
    return npy::header_bytes(h) + swapped(native, h.item_size, h.big_endian);
}

struct array {
    npy::header header;
    std::string data;  // in the processor's order of bytes
};

array parse(const std::string& file) {
    std::size_t at = 0;
    array a;
    a.header = npy::read_header([&](std::size_t n) {
        const std::string bytes = file.substr(std::min(at, file.size()), n);
        at += bytes.size();
        return bytes;
    });
    a.data = swapped(file.substr(at), a.header.item_size, a.header.big_endian);
    return a;
}

/// What the library gives, by strides of the array's own axes.
std::string expected(const std::string& function, const npy::header& h, const std::string& data, std::ptrdiff_t axis,
                     std::size_t out_size, bool keepdims = false, const smx::softmax_options& base = {}) {
    std::vector<std::size_t> shape = h.shape;
    const auto strides_of = [&](const std::vector<std::size_t>& extents) {
        std::vector<std::ptrdiff_t> strides(extents.size());
        std::ptrdiff_t stride = 1;
        for (std::size_t i = 0; i < extents.size(); ++i) {
            const std::size_t d = h.fortran_order ? i : extents.size() - 1 - i;
            strides[d] = stride;
            stride *= static_cast<std::ptrdiff_t>(extents[d]);
        }
        return strides;
    };
    std::vector<std::size_t> results = shape;
    const std::size_t at = static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::ptrdiff_t>(shape.size()) : axis);
    if (function == "logsumexp" && !shape.empty()) {
        if (keepdims) results[at] = 1;
        else results.erase(results.begin() + static_cast<std::ptrdiff_t>(at));
    }
    std::size_t count = 1;
    for (const std::size_t n : results) count *= n;
    std::string out(count * out_size, '\0');
    smx::softmax_options options = base;
    options.axis = axis;
    const smx::const_dynamic_view x(data.data(), format_of_size(h.item_size), shape, strides_of(shape));
    const smx::dynamic_view y(out.data(), format_of_size(out_size), results, strides_of(results));
    if (function == "softmax") smx::safe_softmax(x, y, options);
    else if (function == "log_softmax") smx::log_softmax(x, y, options);
    else smx::logsumexp(x, y, options);
    return out;
}

TEST_F(SoftmaxCli, NpyOfEveryTypeOrderShapeAndAxis) {
    const std::vector<std::vector<std::size_t>> shapes = {
        {}, {1}, {7}, {0}, {3, 0, 2}, {0, 3}, {5, 8}, {4, 3, 9}, {2, 1, 3, 2, 5}};
    const char* const functions[] = {"softmax", "log_softmax", "logsumexp"};
    unsigned number = 0;
    std::string script;
    struct wanted {
        std::string name;
        npy::header header;
        std::string data;
    };
    std::vector<wanted> all;
    for (const std::vector<std::size_t>& shape : shapes) {
        const std::ptrdiff_t rank = static_cast<std::ptrdiff_t>(std::max<std::size_t>(shape.size(), 1));
        for (std::ptrdiff_t axis = -rank; axis < rank; ++axis) {
            // Types, orders and functions take turns, so that they meet in all pairs.
            const std::size_t size = std::size_t(2) << number % 3, out_size = std::size_t(2) << number / 3 % 3;
            const bool own_type = number % 5 == 0, keepdims = number % 2 == 0;
            const std::string function = functions[number / 2 % 3];
            const npy::header h{'f', size, number % 7 < 2, number % 4 > 1, shape};
            const std::string data = elements(size, npy::element_count(h), number);
            const std::string name = std::to_string(number);
            write(name + ".npy", npy_file(h, data));
            script += "cli " + function + " " + name + ".npy " + name + ".result.npy --axis " + std::to_string(axis) +
                      (own_type ? "" : " --dtype f" + std::to_string(out_size)) + (keepdims ? " --keepdims" : "") +
                      " --scale 0.5 || echo " + name + " failed\n";
            npy::header r = h;
            if (!own_type) r.item_size = out_size;
            all.push_back({name, r, expected(function, h, data, axis, r.item_size, keepdims, {.scale = 0.5})});
            if (function == "logsumexp" && !shape.empty()) {
                const std::ptrdiff_t at = axis < 0 ? axis + rank : axis;
                if (keepdims) all.back().header.shape[static_cast<std::size_t>(at)] = 1;
                else all.back().header.shape.erase(all.back().header.shape.begin() + at);
            }
            ++number;
        }
    }
    const outcome o = shell(script);
    EXPECT_EQ(o.out, "");
    EXPECT_EQ(o.err, "");
    EXPECT_GE(number, 34u);
    for (const wanted& w : all) {
        const array a = parse(read(w.name + ".result.npy"));
        EXPECT_EQ(a.header.descr(), w.header.descr()) << w.name;
        EXPECT_EQ(a.header.fortran_order, w.header.fortran_order) << w.name;
        EXPECT_EQ(a.header.shape, w.header.shape) << w.name;
        EXPECT_EQ(a.data, w.data) << w.name;
    }
}

TEST_F(SoftmaxCli, HeadersOfEveryVersionAndStyle) {
    const std::string data = elements(4, 6);
    const npy::header h{'f', 4, false, false, {2, 3}};
    const std::string want = npy_file(h, expected("softmax", h, data, -1, 4));
    const auto file = [&](int version, const std::string& dictionary) {
        std::string bytes = std::string(npy::magic) + static_cast<char>(version) + '\0';
        for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(dictionary.size() >> 8 * i & 255);
        return bytes + dictionary + data;
    };
    const std::string usual = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    for (const std::string& bytes : {file(1, usual + "   \n"), file(2, usual + "\n"), file(3, usual),
                                     file(1, "{\"shape\":(2L,3L),\"fortran_order\":False,\"descr\":\"=f4\"}"),
                                     file(1, " { 'descr' : '<f4','shape':(2,3,),\t'fortran_order': False } \n")}) {
        write("in.npy", bytes);
        const outcome o = shell("cli softmax in.npy out.npy");
        EXPECT_EQ(o.err, "");
        EXPECT_EQ(read("out.npy"), want);
    }
}

TEST_F(SoftmaxCli, FilesOfNumPyAndBack) {
    std::string python;
    for (const char* const candidate : {"python3", "/usr/bin/python3"})
        if (python.empty() && std::system((std::string(candidate) + " -c 'import numpy' >/dev/null 2>&1").c_str()) == 0)
            python = candidate;
    if (python.empty())
        GTEST_SKIP() << "without NumPy, which was not found (Debian, Ubuntu: apt-get install python3-numpy)";
    const outcome o = shell(
        "cat >check.py <<\"END\"\n"
        "import numpy as np, subprocess, sys\n"
        "rng = np.random.default_rng(1)\n"
        "for dtype in 'f2', 'f4', 'f8', '>f4':\n"
        "    for order in 'C', 'F':\n"
        "        for axis in 0, 1, -1:\n"
        "            x = np.asarray(rng.normal(0, 3, (4, 5, 6)), dtype=dtype, order=order)\n"
        "            np.save('n.npy', x)\n"
        "            subprocess.run([sys.argv[1], 'softmax', 'n.npy', 'm.npy', '--axis', str(axis)], check=True)\n"
        "            y = np.load('m.npy')\n"
        "            e = np.exp(x.astype('f8') - x.astype('f8').max(axis, keepdims=True))\n"
        "            e /= e.sum(axis, keepdims=True)\n"
        "            assert y.shape == x.shape and y.dtype == x.dtype and np.isfortran(y) == np.isfortran(x)\n"
        "            assert np.allclose(y.astype('f8'), e, rtol={2: 6e-4, 4: 5e-7, 8: 2e-15}[x.dtype.itemsize], "
        "atol=1.2e-7 if x.dtype.itemsize == 2 else 0)\n"
        "print('compared')\n"
        "END\n" +
        python + " check.py '" SOFTMAX_CLI "'");
    EXPECT_EQ(o.out, "compared\n") << o.err;
}

TEST_F(SoftmaxCli, Pipes) {
    const npy::header h{'f', 4, false, false, {300, 1000}};
    const std::string data = elements(4, 300000);
    write("in.npy", npy_file(h, data));
    const std::string want = npy_file(h, expected("softmax", h, data, 1, 4));
    EXPECT_EQ(shell("cat in.npy | cli softmax | cat > out.npy").err, "");
    EXPECT_EQ(read("out.npy"), want);
    EXPECT_EQ(shell("cli softmax < in.npy > redirected.npy").err, "");
    EXPECT_EQ(read("redirected.npy"), want);
    EXPECT_EQ(shell("cli softmax - - < in.npy | cli logsumexp - sums.npy --axis 0").err, "");
    EXPECT_EQ(parse(read("sums.npy")).header.shape, std::vector<std::size_t>{1000});
    EXPECT_EQ(shell("mkfifo pipe; cat pipe > fifo.npy & cli softmax in.npy pipe; wait").err, "");
    EXPECT_EQ(read("fifo.npy"), want);
    const outcome closed = shell("cli softmax in.npy - | head -c 6");
    EXPECT_EQ(closed.out, npy::magic);
    EXPECT_EQ(shell("head -c 1000 in.npy | cli softmax - short.npy; echo $?").out, "1\n");
    EXPECT_FALSE(fs::exists(dir_ / "short.npy"));
    const outcome more = shell("(cat in.npy; echo) | cli softmax > long.npy");
    EXPECT_EQ(more.err,
              "softmax_cli: standard input: has 1200000 and more bytes of data, but shape (300, 1000) of '<f4' needs "
              "1200000\n");
    EXPECT_EQ(more.status, 1);
}

TEST_F(SoftmaxCli, InPlaceThroughALinkAndWithItsPermissions) {
    const npy::header h{'f', 2, false, false, {4, 5}};
    const std::string data = elements(2, 20);
    write("x.npy", npy_file(h, data));
    fs::create_symlink("x.npy", dir_ / "link.npy");
    fs::permissions(dir_ / "x.npy", fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
    EXPECT_EQ(shell("cli softmax link.npy link.npy").err, "");
    EXPECT_TRUE(fs::is_symlink(dir_ / "link.npy"));
    EXPECT_EQ(read("x.npy"), npy_file(h, expected("softmax", h, data, 1, 2)));
    EXPECT_EQ(fs::status(dir_ / "x.npy").permissions(),
              fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
    EXPECT_EQ(names(), (std::vector<std::string>{"link.npy", "x.npy"}));
}

// ---- CSV ------------------------------------------------------------------------------------------------------------------

TEST_F(SoftmaxCli, Csv) {
    EXPECT_EQ(shell("printf '0,0\\n0,-inf\\n' | cli softmax").out, "0.5,0.5\n1,0\n");
    EXPECT_EQ(shell("printf '0,0\\n0,0' | cli softmax --axis 0").out, "0.5,0.5\n0.5,0.5\n");
    EXPECT_EQ(shell("printf '20,0\\n' | cli log_softmax --dtype f4").out, "-2.0611537e-09,-20\n");
    EXPECT_EQ(
        shell("printf 'a;b\\r\\n\"0\";+0\\r\\n-inf; inf \\r\\n\\r\\n' | cli softmax --header --delimiter ';'").out,
        "a;b\n0.5;0.5\n0;1\n");
    EXPECT_EQ(shell("printf '\\357\\273\\277nan\\t1\\n' | cli softmax --delimiter tab").out, "nan\tnan\n");
    EXPECT_EQ(shell("printf '0,inf\\n' | cli softmax --ieee").out, "nan,nan\n");
    EXPECT_EQ(shell("printf 'a,b\\n1,1\\n3,3\\n' | cli logsumexp --header --scale 0").out,
              "0.6931471805599453\n0.6931471805599453\n");
    EXPECT_EQ(shell("printf 'a,b\\n1,1\\n1,1\\n' | cli logsumexp --header -t 0.5 --axis 0").out,
              "a,b\n2.6931471805599454,2.6931471805599454\n");
    EXPECT_EQ(shell("printf '0 0 0 0\\n' | cli softmax --delimiter space --dtype f2").out, "0.25 0.25 0.25 0.25\n");

    // Lines that do not fit the tool's buffer at once, and a file by name.
    std::string wide, want;
    std::vector<double> row(100000), p(row.size());
    for (std::size_t i = 0; i < row.size(); ++i)
        wide += std::to_string(i % 17) + (i + 1 == row.size() ? "\n" : ","), row[i] = static_cast<double>(i % 17);
    write("wide.csv", wide + wide);
    EXPECT_EQ(shell("cli softmax wide.csv out.csv").err, "");
    smx::safe_softmax(row, p);
    std::istringstream text(read("out.csv"));
    for (std::size_t i = 0; i < 2 * row.size(); ++i) {
        std::string field;
        std::getline(text, field, (i + 1) % row.size() == 0 ? '\n' : ',');
        ASSERT_EQ(std::strtod(field.c_str(), nullptr), p[i % row.size()]) << i;
    }
}

// ---- what is refused ------------------------------------------------------------------------------------------------------

TEST_F(SoftmaxCli, DamagedNpyFilesAreToldAboutExactlyAndGiveNoOutput) {
    const std::string data = elements(4, 6);
    const auto file = [&](const std::string& dictionary) {
        return std::string(npy::magic) + '\1' + '\0' + static_cast<char>(dictionary.size()) + '\0' + dictionary + data;
    };
    const auto shaped = [&](const std::string& shape) {
        return file("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }");
    };
    const std::string good = npy_file({'f', 4, false, false, {2, 3}}, data), magic(npy::magic);
    const struct {
        std::string bytes, message;
    } cases[] = {
        {"", "is empty"},
        {"1,2,3\n", "is no .npy file: it begins with 31 2c 32 2c 33 0a"},
        {"PK\3\4\24\1", "is no .npy file: it begins with 50 4b 03 04 14 01, as a zip archive does (.npz?)"},
        {good.substr(0, 4), "ends after 4 bytes, in the middle of the magic number"},
        {good.substr(0, 7), "ends after 1 of the 2 bytes of its version"},
        {good.substr(0, 9), "ends after 1 of the 2 bytes of the length of its header"},
        {good.substr(0, 60), "ends after 50 of the 118 bytes of its header"},
        {good.substr(0, 128), "has 0 bytes of data, but shape (2, 3) of '<f4' needs 24"},
        {good.substr(0, 151), "has 23 bytes of data, but shape (2, 3) of '<f4' needs 24"},
        {good + "x", "has 25 bytes of data, but shape (2, 3) of '<f4' needs 24"},
        {magic + '\4' + '\0' + std::string(200, ' '), "has version 4.0 of the format: 1, 2 and 3 can be read"},
        {magic + '\2' + '\0' + "\xff\xff\xff\x7f" + "{", "damaged header: its length is 2147483647 bytes"},
        {file(""), "damaged header: '{' is missing, at byte 0 of its dictionary"},
        {file("{'descr': '<f4', 'fortran_order': False, }"),
         "damaged header: shape is missing, at byte 42 of its dictionary"},
        {file("{'descr': '<f4', 'shape': (2, 3)}"),
         "damaged header: fortran_order is missing, at byte 33 of its dictionary"},
        {file("{'fortran_order': False, 'shape': (2, 3)}"),
         "damaged header: descr is missing, at byte 41 of its dictionary"},
        {file("{'descr': '<f4', 'descr': '<f4'}"),
         "damaged header: key 'descr' stands there twice, at byte 31 of its dictionary"},
        {file("{'color': 'red'}"),
         "damaged header: key 'color' is none of descr, fortran_order, shape, at byte 9 of its dictionary"},
        {file("{'descr': [('a', '<f4')]}"),
         "damaged header: descr is a list: arrays of records cannot be read, at byte 10 of its dictionary"},
        {file("{'descr': 'f', }"), "damaged header: descr 'f' is no type such as '<f4', at byte 13 of its dictionary"},
        {file("{'descr': '<f4"), "damaged header: a quotation has no end, at byte 10 of its dictionary"},
        {file("{'descr': '<f4' 'shape'"), "damaged header: '}' is missing, at byte 16 of its dictionary"},
        {file("{'fortran_order': Maybe}"),
         "damaged header: fortran_order is neither True nor False, at byte 18 of its dictionary"},
        {file("{'descr': '<f4'} x"), "damaged header: something follows the dictionary, at byte 17 of its dictionary"},
        {shaped("(2, 3"), "damaged header: a number of shape is missing, at byte 57 of its dictionary"},
        {shaped("(-2, 3)"), "damaged header: a number of shape is missing, at byte 51 of its dictionary"},
        {shaped("(99999999999999999999,)"),
         "damaged header: a number of shape is larger than 64 bits can hold, at byte 70 of its dictionary"},
        {shaped("(4294967296, 4294967296)"), "shape (4294967296, 4294967296) has more elements than can be counted"},
        {shaped("(2, 4)"), "has 24 bytes of data, but shape (2, 4) of '<f4' needs 32"},
        {file("{'descr': '<i8', 'fortran_order': False, 'shape': (3,)}"),
         "has elements of type '<i8', but only f2, f4 and f8 can be read"},
        {file("{'descr': '<f16', 'fortran_order': False, 'shape': (3,)}"),
         "has elements of type '<f16', but only f2, f4 and f8 can be read"},
    };
    for (const auto& c : cases) {
        write("in.npy", c.bytes);
        const outcome o = shell("cli softmax in.npy out.npy");
        EXPECT_EQ(o.err, "softmax_cli: in.npy: " + c.message + "\n");
        EXPECT_EQ(o.status, 1);
        EXPECT_EQ(names(), std::vector<std::string>{"in.npy"});
    }
    write("in.npy", good);
    EXPECT_EQ(shell("cli softmax in.npy out.npy --axis 2").err,
              "softmax_cli: in.npy: has shape (2, 3), but --axis is 2\n");
}

TEST_F(SoftmaxCli, NoDamageOfABitOrALengthCrashesIt) {
    const std::string good = npy_file({'f', 4, false, false, {2, 3}}, elements(4, 6));
    std::mt19937 engine(3);
    std::string script;
    for (int i = 0; i < 300; ++i) {
        std::string bad = good;
        bad[engine() % 128] ^= static_cast<char>(1 << engine() % 8);
        if (i % 3 == 0) bad.resize(engine() % bad.size());
        write(std::to_string(i) + ".npy", bad);
    }
    const outcome o =
        shell("for i in {0..299}; do cli softmax $i.npy out.npy 2>/dev/null; s=$?; [ $s -le 1 ] || echo $i: $s; done");
    EXPECT_EQ(o.out, "");
}

TEST_F(SoftmaxCli, DamagedCsvFilesAreToldAboutExactlyAndGiveNoOutput) {
    const struct {
        std::string bytes, message;
    } cases[] = {
        {"", "has no rows"},
        {"\n\n", "has no rows"},
        {"a,b\n1,2\n", "line 1, field 1: \"a\" is no number; --header passes a first line of names through"},
        {"1,2\n3,x\033[2J\n", "line 2, field 2: \"x?[2J\" is no number"},
        {"1,2\n3\n", "line 2 has 1 fields, but those before have 2"},
        {"1,2\n3,4,\n", "line 2, field 3: \"\" is no number"},
        {"1,2\n\n3,4\n", "line 2 is empty"},
        {"1,1e999\n", "line 1, field 2: \"1e999\" is a number that no double can hold"},
        {"1,0x10\n", "line 1, field 2: \"0x10\" is no number; --header passes a first line of names through"},
        {"1,2\n1,123456789012345678901234567890x\n", "line 2, field 2: \"123456789012345678901234...\" is no number"},
    };
    for (const auto& c : cases) {
        write("in.csv", c.bytes);
        const outcome o = shell("cli softmax in.csv out.csv");
        EXPECT_EQ(o.err, "softmax_cli: in.csv: " + c.message + "\n");
        EXPECT_EQ(o.status, 1);
        EXPECT_EQ(names(), std::vector<std::string>{"in.csv"});
    }
    write("in.csv", "1,2\n");
    EXPECT_EQ(shell("cli softmax in.csv --axis 2").err, "softmax_cli: in.csv: has rows and columns, but --axis is 2\n");
    EXPECT_EQ(shell("yes 1,2 | head -100000 | cli softmax --axis 0 --memory 1").err,
              "softmax_cli: standard input: along columns the whole table is needed, and at line 32769 it is larger "
              "than --memory allows\n");
}

TEST_F(SoftmaxCli, WrongArguments) {
    write("in.csv", "1,2\n");
    for (const char* const wrong :
         {"", "sofmax in.csv", "softmax in.csv --scale x", "softmax in.csv --scale inf",
          "softmax in.csv --temperature 0", "softmax in.csv -s 1 -t 1", "softmax in.csv --dtype f16",
          "softmax in.csv --memory 0", "softmax in.csv --format xls", "softmax in.csv out.csv more",
          "softmax in.csv --axis 1.5", "softmax in.csv --progress"}) {
        const outcome o = shell(std::string("cli ") + wrong);
        EXPECT_EQ(o.status, 2) << wrong;
        EXPECT_EQ(o.out, "") << wrong;
        EXPECT_NE(o.err, "") << wrong;
    }
    EXPECT_EQ(shell("cli softmax none.csv").err, "softmax_cli: none.csv: cannot open: No such file or directory\n");
    EXPECT_EQ(shell("cli softmax .").err, "softmax_cli: .: cannot read: Is a directory\n");
    EXPECT_EQ(shell("cli softmax in.csv nowhere/out.csv").err,
              "softmax_cli: nowhere/out.csv: cannot make: No such file or directory\n");
    EXPECT_EQ(shell("cli --help").status, 0);
    EXPECT_EQ(shell("cli --version").status, 0);
}

// ---- larger than memory, full disks, kills ----------------------------------------------------------------------------------

/// Largest distance in units of the last place of the expected number's type.
double distance_in_ulp(const std::string& actual, const std::string& wanted, std::size_t size) {
    double worst = 0;
    for (std::size_t i = 0; i < wanted.size(); i += size) {
        const auto ordered = [&](const std::string& bytes) -> std::int64_t {
            const auto of = [&](auto bits) {
                std::memcpy(&bits, bytes.data() + i, sizeof bits);
                const auto s = static_cast<std::int64_t>(bits);
                return s;
            };
            return size == 2 ? of(std::int16_t()) : size == 4 ? of(std::int32_t()) : of(std::int64_t());
        };
        worst = std::max(worst, std::abs(static_cast<double>(ordered(actual) - ordered(wanted))));
    }
    return worst;
}

TEST_F(SoftmaxCli, RowsAndSlabsLargerThanMemory) {
    const struct {
        std::vector<std::size_t> shape;
        std::ptrdiff_t axis;
        std::size_t size, out_size;
        bool fortran_order;
    } cases[] = {
        {{700001}, 0, 4, 4, false},    {{3, 300000}, 1, 2, 4, false},    {{300000, 3}, 0, 4, 2, true},
        {{30001, 17}, 0, 8, 8, false}, {{2, 5000, 300}, 1, 4, 4, false}, {{17, 30001}, 1, 4, 8, true},
        {{3000, 900}, 0, 2, 2, false},
    };
    for (const auto& c : cases) {
        const npy::header h{'f', c.size, false, c.fortran_order, c.shape};
        const std::string data = elements(c.size, npy::element_count(h));
        write("in.npy", npy_file(h, data));
        for (const std::string function : {"softmax", "log_softmax", "logsumexp"}) {
            const std::string arguments =
                " --memory 1 --scale 0.7 --axis " + std::to_string(c.axis) + " --dtype f" + std::to_string(c.out_size);
            const outcome o =
                shell("cli " + function + " in.npy out.npy" + arguments + " && cat in.npy | cli " + function +
                      " - piped.npy" + arguments + " && cli " + function + " < in.npy > redirected.npy" + arguments);
            EXPECT_EQ(o.err, "");
            const std::string want = expected(function, h, data, c.axis, c.out_size, false, {.scale = 0.7});
            const array a = parse(read("out.npy"));
            ASSERT_EQ(a.data.size(), want.size());
            // Each is within 5 ulp (16 bits: 0.52) of the truth.
            EXPECT_LE(distance_in_ulp(a.data, want, c.out_size), c.out_size == 2 ? 1 : 6)
                << function << ' ' << npy::to_string(c.shape);
            EXPECT_EQ(read("piped.npy"), read("out.npy"));
            EXPECT_EQ(read("redirected.npy"), read("out.npy"));
        }
    }
    const outcome o = shell("cli softmax in.npy - --memory 1 --axis 0 | cat");  // the last: 3000 x 900
    EXPECT_EQ(o.err,
              "softmax_cli: standard output: is no file that can be written at any place, as this array needs: name a "
              "file, or allow more --memory\n");
}

/// Gigabytes of zeros that take no room on the disk, in 150 MB of address space.
TEST_F(SoftmaxCli, HugeFiles) {
    const struct {
        std::vector<std::size_t> shape;
        const char* axis;
        std::vector<float> want;
        const char* size;
    } cases[] = {
        {{3, std::size_t(1) << 29},
         "1",
         std::vector<float>(3, static_cast<float>(29 * std::log(2.0))),
         "of 3072.0 MiB"},  // rows of 1 GiB
        {{2304, std::size_t(1) << 20},
         "-1",
         std::vector<float>(2304, static_cast<float>(20 * std::log(2.0))),
         "of 4608.0 MiB"},
    };
    for (const auto& c : cases) {
        const npy::header h{'f', 2, false, false, c.shape};
        const std::string header = npy::header_bytes(h);
        write("huge.npy", header);
        fs::resize_file(dir_ / "huge.npy", header.size() + 2 * npy::element_count(h));
        const outcome o = shell(
            std::string(
                "ulimit -v 150000; cli logsumexp huge.npy out.npy --memory 64 --dtype f4 --progress always --axis ") +
            c.axis);
        EXPECT_EQ(o.status, 0) << o.err;
        EXPECT_NE(o.err.find(c.size), std::string::npos) << o.err;
        const array a = parse(read("out.npy"));
        std::vector<float> sums(c.want.size());
        ASSERT_EQ(a.data.size(), sums.size() * sizeof(float));
        std::memcpy(sums.data(), a.data.data(), a.data.size());
        EXPECT_EQ(sums, c.want);
    }
}

TEST_F(SoftmaxCli, ProgressOfALongFile) {
    write("in.npy", npy_file({'f', 4, false, false, {5000, 1000}}, elements(4, 5000000)));
    const outcome o = shell("cli softmax in.npy out.npy --progress always");
    EXPECT_NE(o.err.find("in.npy: "), std::string::npos);
    EXPECT_NE(o.err.find(" of 19.1 MiB, "), std::string::npos) << o.err;
    EXPECT_NE(o.err.find(" s left\n"), std::string::npos) << o.err;
    EXPECT_EQ(shell("cli softmax in.npy out.npy").err, "");  // no terminal
}

TEST_F(SoftmaxCli, FullDisk) {
    write("in.npy", npy_file({'f', 4, false, false, {2000, 1000}}, elements(4, 2000000)));
    write("in.csv", "1,2\n3,4\n");
    if (fs::exists("/dev/full")) {
        EXPECT_EQ(shell("cli softmax in.npy /dev/full").err,
                  "softmax_cli: /dev/full: cannot write: No space left on device\n");
        EXPECT_EQ(shell("cli softmax in.npy > /dev/full").err,
                  "softmax_cli: standard output: cannot write: No space left on device\n");
        EXPECT_EQ(shell("cli softmax in.csv > /dev/full").err,
                  "softmax_cli: standard output: cannot write: No space left on device\n");
        EXPECT_EQ(shell("cli softmax in.csv /dev/full").status, 1);
    }
    write("out.npy", "what was there before");
    const outcome o = shell("ulimit -f 1000; cli softmax in.npy out.npy");
    EXPECT_EQ(o.err, "softmax_cli: out.npy: cannot write: File too large\n");
    EXPECT_EQ(o.status, 1);
    EXPECT_EQ(read("out.npy"), "what was there before");
    EXPECT_EQ(names(), (std::vector<std::string>{"in.csv", "in.npy", "out.npy"}));

    const outcome full = shell(
        "mkdir small && mount -t tmpfs -o size=1m none small 2>/dev/null || { echo none; exit; }; "
        "cli softmax in.npy small/out.npy; echo $?; ls -A small; umount small");
    if (full.out == "none\n") GTEST_SKIP() << "a disk of one megabyte could not be mounted";
    EXPECT_EQ(full.out, "1\n");
    EXPECT_EQ(full.err, "softmax_cli: small/out.npy: cannot write: No space left on device\n");
}

TEST_F(SoftmaxCli, AKillInTheMiddleLeavesWhatWasThere) {
    const std::string file = npy_file({'f', 4, false, false, {20000, 1000}}, elements(4, 20000000));
    for (const int signal : {SIGKILL, SIGTERM, SIGINT, SIGHUP}) {
        for (const bool existed : {false, true}) {
            if (existed) write("out.npy", "what was there before");
            shell("mkfifo in");
            const pid_t child = start("in", "out.npy");
            {
                std::ofstream pipe(dir_ / "in", std::ios::binary);  // waits for the tool
                pipe.write(file.data(), static_cast<std::streamsize>(file.size() / 2));
                pipe.flush();  // by now about half is written
                ASSERT_EQ(::kill(child, signal), 0);
                int status = 0;
                ASSERT_EQ(::waitpid(child, &status, 0), child);
                ASSERT_TRUE(WIFSIGNALED(status));
                EXPECT_EQ(WTERMSIG(status), signal);
            }
            fs::remove(dir_ / "in");
            EXPECT_EQ(names(), existed ? std::vector<std::string>{"out.npy"} : std::vector<std::string>{});
            if (existed) {
                EXPECT_EQ(read("out.npy"), "what was there before");
            }
            fs::remove(dir_ / "out.npy");
        }
    }
}

/// Where a file system cannot make files without a name.
TEST_F(SoftmaxCli, FilesWithANameAreRemovedOrRenamed) {
    const std::string path = (dir_ / "out").string();
    {
        byte_sink sink(path, false);
        sink.write("abc", 3);
        EXPECT_EQ(names().size(), 1u);
        EXPECT_TRUE(names()[0].starts_with(".out."));
    }
    EXPECT_EQ(names(), std::vector<std::string>{});
    for (const int signal : {0, SIGTERM, SIGINT}) {
        const pid_t child = ::fork();
        if (child == 0) {
            byte_sink sink(path, false);
            sink.write("abc", 3);
            if (signal != 0) std::raise(signal);
            sink.commit();
            ::_exit(0);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, signal);
        EXPECT_EQ(names(), signal == 0 ? std::vector<std::string>{"out"} : std::vector<std::string>{});
        if (signal == 0) {
            EXPECT_EQ(read("out"), "abc");
        }
        fs::remove(path);
    }
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A .npz file is a zip archive of .npy files.
#include "elfatt/Run/Array.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/MemoryBuffer.h"

#include <zip.h>

using llvm::Error;
using llvm::Expected;
using llvm::StringRef;

namespace elfatt::run {
namespace {

/// No compression of zip's makes more than this of one byte.
constexpr uint64_t maxRatio = 1100;

Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

struct CloseArchive {
  void operator()(zip_t *archive) const { zip_discard(archive); }
};
using Archive = std::unique_ptr<zip_t, CloseArchive>;

Expected<std::vector<char>> readEntry(zip_t *archive, const zip_stat_t &stat) {
  if (!(stat.valid & ZIP_STAT_SIZE) || !(stat.valid & ZIP_STAT_COMP_SIZE) ||
      stat.size > stat.comp_size * maxRatio + 4096)
    return makeError("malformed entry");
  zip_file_t *file = zip_fopen_index(archive, stat.index, 0);
  if (!file)
    return makeError(zip_strerror(archive));
  std::vector<char> bytes(stat.size);
  int64_t got = zip_fread(file, bytes.data(), bytes.size());
  // Reading to the end checks the sum; the close reports it.
  char extra;
  bool atEnd = got == static_cast<int64_t>(bytes.size()) && zip_fread(file, &extra, 1) == 0;
  if (zip_fclose(file) != 0 || !atEnd)
    return makeError("truncated or damaged entry");
  return bytes;
}

} // namespace

Expected<ArrayMap> readNpz(const std::string &path) {
  auto buffer =
      llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (std::error_code code = buffer.getError())
    return makeError(path + ": " + code.message());
  // libzip takes it for an archive without entries.
  if ((*buffer)->getBufferSize() == 0)
    return makeError(path + ": not a .npz file: it is empty");
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t *source =
      zip_source_buffer_create((*buffer)->getBufferStart(), (*buffer)->getBufferSize(), 0, &error);
  Archive archive(source ? zip_open_from_source(source, ZIP_RDONLY, &error) : nullptr);
  if (!archive) {
    if (source)
      zip_source_free(source);
    return makeError(path + ": not a .npz file: " + zip_error_strerror(&error));
  }
  ArrayMap arrays;
  for (int64_t i = 0, e = zip_get_num_entries(archive.get(), 0); i < e; ++i) {
    zip_stat_t stat;
    if (zip_stat_index(archive.get(), i, 0, &stat) != 0 || !(stat.valid & ZIP_STAT_NAME))
      return makeError(path + ": malformed entry");
    StringRef name = stat.name;
    if (stat.comp_size > (*buffer)->getBufferSize())
      return makeError(path + ": " + name + ": malformed entry");
    auto bytes = readEntry(archive.get(), stat);
    if (!bytes)
      return makeError(path + ": " + name + ": " + llvm::toString(bytes.takeError()));
    auto array = parseNpy(*bytes);
    if (!array)
      return makeError(path + ": " + name + ": " + llvm::toString(array.takeError()));
    name.consume_back(".npy");
    arrays.emplace(name.str(), std::move(*array));
  }
  return arrays;
}

Expected<std::vector<char>> formatNpz(const ArrayMap &arrays) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t *source = zip_source_buffer_create(nullptr, 0, 0, &error);
  if (!source)
    return makeError(zip_error_strerror(&error));
  zip_source_keep(source);
  llvm::scope_exit release([&] { zip_source_free(source); });
  Archive archive(zip_open_from_source(source, ZIP_TRUNCATE, &error));
  if (!archive)
    return makeError(zip_error_strerror(&error));
  std::vector<std::vector<char>> entries;
  for (const auto &[name, array] : arrays)
    entries.push_back(formatNpy(array));
  for (auto [entry, bytes] : llvm::zip_equal(arrays, entries)) {
    zip_source_t *content = zip_source_buffer(archive.get(), bytes.data(), bytes.size(), 0);
    int64_t index = content ? zip_file_add(archive.get(), (entry.first + ".npy").c_str(), content,
                                           ZIP_FL_ENC_UTF_8)
                            : -1;
    if (index < 0 || zip_set_file_compression(archive.get(), index, ZIP_CM_STORE, 0) != 0)
      return makeError(zip_strerror(archive.get()));
  }
  if (zip_close(archive.get()) != 0)
    return makeError(zip_strerror(archive.get()));
  (void)archive.release();
  zip_stat_t stat;
  std::vector<char> bytes;
  if (zip_source_stat(source, &stat) == 0 && zip_source_open(source) == 0) {
    bytes.resize(stat.size);
    if (zip_source_read(source, bytes.data(), bytes.size()) != static_cast<int64_t>(bytes.size()))
      bytes.clear();
    zip_source_close(source);
  }
  if (bytes.empty())
    return makeError("could not make the archive");
  return bytes;
}

} // namespace elfatt::run

// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Bundle.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace elfatt::compile {

static Error cannotWrite(const Twine &path, std::error_code code) {
  return createStringError("cannot write '" + path + "': " + code.message());
}

static Error writeFile(const Twine &path, StringRef contents) {
  std::error_code code;
  raw_fd_ostream os(path.str(), code);
  if (code)
    return cannotWrite(path, code);
  os << contents;
  os.close();
  if (!os.has_error())
    return Error::success();
  code = os.error();
  os.clear_error();
  return cannotWrite(path, code);
}

/// `name` may lie in folders of its own.
static Error writeInFolder(StringRef folder, StringRef name, StringRef contents) {
  SmallString<128> path(folder);
  sys::path::append(path, name);
  StringRef parent = sys::path::parent_path(path);
  if (std::error_code code =
          sys::fs::create_directories(parent, /*IgnoreExisting=*/true, sys::fs::all_all))
    return cannotWrite(parent, code);
  return writeFile(path, contents);
}

/// What may be replaced: nothing, an empty folder, or a bundle.
static Error checkDestination(StringRef path) {
  if (!sys::fs::exists(path))
    return Error::success();
  if (!sys::fs::is_directory(path))
    return createStringError("'" + path + "' is not a folder");
  std::error_code code;
  bool isEmpty = sys::fs::directory_iterator(path, code) == sys::fs::directory_iterator();
  if (code)
    return cannotWrite(path, code);
  SmallString<128> manifest(path);
  sys::path::append(manifest, "manifest.json");
  if (isEmpty || sys::fs::exists(manifest))
    return Error::success();
  return createStringError("'" + path + "' is not empty and no bundle: not replaced");
}

Error writeBundle(Tool &tool, StringRef path, const std::map<std::string, std::string> &files) {
  while (path.size() > 1 && path.ends_with("/"))
    path = path.drop_back();
  if (Error error = checkDestination(path))
    return error;
  StringRef parent = sys::path::parent_path(path);
  if (!parent.empty())
    if (std::error_code code =
            sys::fs::create_directories(parent, /*IgnoreExisting=*/true, sys::fs::all_all))
      return cannotWrite(parent, code);
  // Beside its destination, so that the rename stays in one file system.
  SmallString<128> temporary;
  for (int attempt = 0;; ++attempt) {
    sys::fs::createUniquePath(path + ".%%%%%%", temporary, /*MakeAbsolute=*/false);
    std::error_code code =
        sys::fs::create_directory(temporary, /*IgnoreExisting=*/false, sys::fs::all_all);
    if (!code)
      break;
    if (code != std::errc::file_exists || attempt == 16)
      return cannotWrite(temporary, code);
  }
  tool.rememberTemporary(temporary);
  Error error = Error::success();
  for (const auto &[name, contents] : files)
    if (!error)
      error = writeInFolder(temporary, name, contents);
  SmallString<128> old;
  if (!error && sys::fs::exists(path)) {
    old = (temporary + ".old").str();
    if (std::error_code code = sys::fs::rename(path, old)) {
      error = cannotWrite(path, code);
      old.clear();
    }
  }
  if (!error)
    if (std::error_code code = sys::fs::rename(temporary, path)) {
      error = cannotWrite(path, code);
      if (!old.empty())
        (void)sys::fs::rename(old, path);
    }
  if (error)
    (void)sys::fs::remove_directories(temporary);
  else if (!old.empty())
    (void)sys::fs::remove_directories(old);
  tool.forgetTemporary(temporary);
  return error;
}

} // namespace elfatt::compile

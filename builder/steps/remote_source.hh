// Owns: the sources of ADD and of the build context that are not local: http(s) URLs and git
// repositories, fetched into a directory of this build's own.
// Does not own: transport (registry/ has libcurl; git is the program), or what becomes of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "builder/context/context.hh"
#include "builder/progress/progress.hh"
#include "builder/steps/runtime_call.hh"
#include "oci-spec/digest.hh"

namespace kiln {

struct RemoteSource {
  enum class Kind : uint8_t { http, git };
  Kind kind = Kind::http;
  std::string url;           // as written
  std::string location;      // git: repository without fragment
  std::string reference;     // git: branch, tag or commit; "" for the default branch
  std::string subdirectory;  // git
  std::string checksum;      // --checksum: "sha256:…" of the file, or a commit
  bool keep_git_directory = false;
  bool unpack = false;
};

// nullopt when `text` is a local path. Git: "git@host:…", "git://…", "ssh://…",
// "….git[#ref[:dir]]".
std::optional<RemoteSource> remote_source(std::string_view text);

// Removed with the object.
struct FetchedSource {
  std::shared_ptr<const Context> context;  // the directory with the file, or the work tree
  std::string name;                        // http: of the file
  bool directory = false;                  // git
  oci::Digest content;                     // of the file, or of the commit's text
  std::optional<int64_t> mtime;            // http: Last-Modified
  std::shared_ptr<void> keep;              // what removes the directory
};

// Throws Error naming the URL (credentials in it are never shown), Canceled.
FetchedSource fetch(const RemoteSource& source, const std::string& parent_directory,
                    Progress& progress, StepId step, const Cancellation& cancel);

}  // namespace kiln

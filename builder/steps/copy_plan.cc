#include "builder/steps/copy_plan.hh"

#include <algorithm>
#include <ranges>
#include <set>

#include "builder/dockerfile/ignore.hh"
#include "builder/sys/error.hh"
#include "builder/sys/resolve.hh"

namespace kiln {

namespace {

// Lexically clean and relative: "/a//./b/../c/" becomes "a/c".
std::string clean(std::string_view path) {
  std::string out;
  for (const std::string_view part : clean_components(path)) {
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

bool names_directory(std::string_view path) {
  return path.empty() || path.ends_with('/') || path == "." || path.ends_with("/.") ||
         path == ".." || path.ends_with("/..");
}

class Planner {
 public:
  Planner(const CopyRequest& request, const SourceTree& tree, std::string_view what,
          const MergedIndex& base)
      : request_(request), tree_(tree), what_(what), base_(base) {}

  CopyPlan run() {
    std::vector<std::string> matches;
    bool any_wildcard = false;
    resolve_destination();
    for (const std::string& source : request_.sources) {
      if (request_.parents) {
        add_with_parents(source);
        continue;
      }
      any_wildcard = any_wildcard || has_wildcard(source);
      for (std::string& m : expand(source)) matches.push_back(std::move(m));
    }
    const size_t count = matches.size() + request_.inline_files;
    if (count > 1 && !into_directory_ && !only_directories(matches))
      throw Error("several sources, so the destination must be a directory and end with a '/': " +
                  request_.destination + "/");
    for (const std::string& m : matches) add(m);
    if (request_.inline_files > 0) need_directory(into_directory_ ? target_ : parent(target_));
    plan_.destination = target_;
    plan_.destination_is_directory = into_directory_;
    return std::move(plan_);
  }

 private:
  static std::string parent(const std::string& path) { return std::string(parent_path(path)); }

  // Directories copy their contents, so several of them may share a destination that has to be
  // made.
  bool only_directories(const std::vector<std::string>& matches) const {
    return request_.inline_files == 0 && std::ranges::all_of(matches, [&](const std::string& m) {
             const auto e = tree_.stat(m, true);
             return e && e->entry.type == FileType::directory;
           });
  }

  void resolve_destination() {
    const std::string wanted = absolute_path(request_.destination, request_.working_dir);
    const auto walked = base_.resolve(wanted, LastLink::follow, Missing::allow);
    if (!walked) throw SysError("destination " + wanted, walked.error());
    target_ = walked->path;
    exists_ = walked->type != WalkNode::Type::missing;
    is_directory_ = walked->type == WalkNode::Type::directory || target_.empty();
    into_directory_ = names_directory(request_.destination) || is_directory_;
    if (exists_ && !is_directory_ && names_directory(request_.destination))
      throw Error("destination " + wanted + " is a file, not a directory");
  }

  std::vector<std::string> expand(const std::string& source) const {
    const std::string path = clean(source);
    if (path.empty()) return {""};
    if (has_wildcard(source)) return tree_.expand(path);
    if (!tree_.stat(path, true)) missing(source);
    return {path};
  }

  [[noreturn]] void missing(const std::string& source) const {
    std::string message = source + ": not found in " + std::string(what_);
    if (tree_.hidden(clean(source))) message += ": .dockerignore hides it";
    if (source.starts_with("--")) message += " (flags stand in front of the sources)";
    throw Error(message);
  }

  // Remembers the directories on the way to `path` that the base does not have.
  void need_directory(const std::string& path, std::optional<ContextEntry> like = {}) {
    if (path.empty() || !made_.insert(path).second) return;
    need_directory(parent(path));
    if (const auto found = base_.lookup(path)) {
      if (found->type != FileType::directory)
        throw Error("/" + path + " is a file in the image, not a directory");
      return;
    }
    plan_.new_directories.push_back({path, std::move(like), {}});
  }

  // A directory whose contents are copied is not copied itself (Dockerfile reference, "Copying from
  // the build context"): the destination is a directory like any parent, whoever owns the source
  // and whatever its mode is; as BuildKit has it, its time alone is the source's.
  void make_destination(const ContextEntry& source) {
    need_directory(target_);
    if (source.entry.path.empty()) return;  // the root of a context or image has no time to give
    const auto made =
        std::ranges::find(plan_.new_directories, target_, &CopyPlan::NewDirectory::path);
    if (made != plan_.new_directories.end()) made->mtime = source.entry.mtime;
  }

  void add(const std::string& path) {
    auto entry = tree_.stat(path, true);
    if (!entry) missing(path);
    CopyItem item;
    item.source = entry->entry.path;
    item.directory = entry->entry.type == FileType::directory;
    if (item.directory) {
      item.destination = target_;
      item.destination_exists = true;  // or is made
      if (exists_ && !is_directory_)
        throw Error("cannot copy a directory over the file /" + target_);
      item.entries = walk(item.source);
      if (!is_directory_) make_destination(*entry);
    } else {
      const std::string name(base_name(path));
      // --exclude also takes out what a wildcard brought in at the top.
      if (request_.exclude && request_.exclude(name, false)) return;
      item.file = *entry;
      item.destination = into_directory_ ? join_path(target_, name) : target_;
      need_directory(parent(item.destination));
    }
    check_merge(item);
    plan_.items.push_back(std::move(item));
  }

  // Directories are merged; anything else takes the place only of its own kind, as BuildKit has it
  // ("cannot copy to non-directory", "cannot replace to directory with file").
  void check_merge(const CopyItem& item) const {
    if (!item.directory) {
      check_place(item.destination, false);
      return;
    }
    if (!base_.lookup(item.destination) && !item.destination.empty()) return;
    std::string absent;  // a directory that the base lacks has nothing below it either
    for (const ContextEntry& e : item.entries) {
      std::string_view rest = e.entry.path;
      rest.remove_prefix(std::min(item.source.size(), rest.size()));
      if (rest.starts_with('/')) rest.remove_prefix(1);
      if (rest.empty()) continue;
      const std::string destination = join_path(item.destination, rest);
      if (!absent.empty() && destination.starts_with(absent)) continue;
      const bool directory = e.entry.type == FileType::directory;
      if (!check_place(destination, directory) && directory) absent = destination + "/";
    }
  }

  // Whether something is there.
  bool check_place(const std::string& destination, bool directory) const {
    const auto found = base_.lookup(destination);
    if (!found) return false;
    const bool there = found->type == FileType::directory;
    if (directory && !there)
      throw Error("cannot copy a directory over /" + destination + ", which is none in the image");
    if (!directory && there)
      throw Error("cannot replace the directory /" + destination + " of the image with a file");
    return true;
  }

  std::vector<ContextEntry> walk(const std::string& directory) const {
    std::vector<ContextEntry> entries = tree_.walk(directory);
    if (!request_.exclude) return entries;
    const auto excluded = [&](const ContextEntry& e) {
      std::string_view relative = e.entry.path;
      relative.remove_prefix(std::min(directory.size(), relative.size()));
      if (relative.starts_with('/')) relative.remove_prefix(1);
      return !relative.empty() &&
             request_.exclude(std::string(relative), e.entry.type == FileType::directory);
    };
    // From the last to the first, so that a directory is met when it is known what stays below it:
    // an exception ("!dir/keep") keeps the directories on the way.
    std::set<std::string, std::less<>> needed;
    std::vector<ContextEntry> kept;
    for (ContextEntry& e : entries | std::views::reverse) {
      if (excluded(e) && !needed.contains(e.entry.path)) continue;
      needed.emplace(parent_path(e.entry.path));
      kept.push_back(std::move(e));
    }
    std::ranges::reverse(kept);
    return kept;
  }

  // What a pattern with "**", any number of directories, names below `root`: of a directory that
  // matches and of what is in it the directory alone.
  std::vector<std::string> expand_deep(const std::string& root, std::string_view pattern) const {
    // Only below the directories in front of the first wildcard can anything match.
    std::string fixed;
    for (size_t slash;
         (slash = pattern.find('/')) != pattern.npos && !has_wildcard(pattern.substr(0, slash));
         pattern.remove_prefix(slash + 1))
      fixed = join_path(fixed, pattern.substr(0, slash));
    const auto top = tree_.stat(join_path(root, fixed), true);
    if (!top || top->entry.type != FileType::directory) return {};
    const dockerfile::PathPattern deep(pattern);
    std::vector<std::string> found;
    std::set<std::string, std::less<>> whole;  // directories that matched
    for (const ContextEntry& e : tree_.walk(top->entry.path)) {
      std::string_view rest = e.entry.path;
      rest.remove_prefix(top->entry.path.size());
      if (rest.starts_with('/')) rest.remove_prefix(1);
      if (rest.empty()) continue;
      std::string_view above = parent_path(rest);
      while (!above.empty() && !whole.contains(above)) above = parent_path(above);
      if (!above.empty() || !deep.matches(rest)) continue;
      if (e.entry.type == FileType::directory) whole.emplace(rest);
      found.push_back(join_path(root, join_path(fixed, rest)));
    }
    return found;
  }

  // --parents: the path of each match below the root, or below the "/./" pivot, is kept.
  void add_with_parents(const std::string& source) {
    const size_t pivot = source.find("/./");
    std::string root = clean(pivot == std::string::npos ? "" : source.substr(0, pivot));
    const std::string pattern = pivot == std::string::npos ? source : source.substr(pivot + 3);
    if (!root.empty()) {
      const auto r = tree_.stat(root, true);
      if (!r || r->entry.type != FileType::directory) missing(root);
      root = r->entry.path;  // as matches will begin, should a link be in it
    }
    const std::string whole = root.empty() ? clean(pattern) : root + "/" + clean(pattern);
    for (const std::string& match : whole.find("**") != whole.npos
                                        ? expand_deep(root, clean(pattern))
                                    : has_wildcard(whole) ? tree_.expand(whole)
                                                          : expand(whole)) {
      const auto entry = tree_.stat(match, false);
      if (!entry) missing(source);
      std::string kept = match;
      kept.erase(0, std::min(root.size(), kept.size()));
      if (kept.starts_with('/')) kept.erase(0, 1);
      carry_parents(root, std::string(parent_path(kept)));
      const std::string destination = join_path(target_, kept);
      CopyItem item;
      item.source = entry->entry.path;
      item.directory = entry->entry.type == FileType::directory;
      item.destination = destination;
      const auto there = base_.lookup(destination);
      item.destination_exists = there && there->type == FileType::directory;
      if (item.directory)
        item.entries = walk(item.source);
      else if (request_.exclude && request_.exclude(kept, false))
        continue;
      else
        item.file = *entry;
      check_merge(item);
      plan_.items.push_back(std::move(item));
    }
  }

  // Makes target/kept with the attributes of root/kept, each level.
  void carry_parents(const std::string& root, const std::string& kept) {
    need_directory(target_);
    if (kept.empty()) return;
    carry_parents(root, std::string(parent_path(kept)));
    need_directory(join_path(target_, kept), tree_.stat(join_path(root, kept), true));
  }

  const CopyRequest& request_;
  const SourceTree& tree_;
  std::string_view what_;
  const MergedIndex& base_;
  CopyPlan plan_;
  std::string target_;           // resolved destination
  bool exists_ = false;          // in the base
  bool is_directory_ = false;    // in the base
  bool into_directory_ = false;  // files go below target_
  std::set<std::string> made_;
};

}  // namespace

std::string absolute_path(std::string_view path, std::string_view working_dir) {
  if (path.starts_with('/')) return "/" + clean(path);
  return "/" + clean(std::string(working_dir) + "/" + std::string(path));
}

CopyPlan plan_copy(const CopyRequest& request, const SourceTree& tree, std::string_view what,
                   const MergedIndex& base) {
  return Planner(request, tree, what, base).run();
}

oci::Digest digest_plan(const CopyPlan& plan, const SourceTree& tree,
                        const DigestOptions& options) {
  oci::Hasher hasher;
  const auto put = [&](std::string_view text) {
    hasher.update(std::string_view(std::to_string(text.size()) + ":"));
    hasher.update(text);
  };
  put("kiln copy plan 1");
  for (const auto& d : plan.new_directories) {
    put(d.path);
    put(d.like ? std::to_string(d.like->entry.mode) : "");
    if (d.like && options.owners)
      put(std::to_string(d.like->entry.uid) + ":" + std::to_string(d.like->entry.gid));
  }
  for (const CopyItem& item : plan.items) {
    put(item.destination);
    put(item.directory ? "d" : "f");
    const oci::Digest content =
        item.directory
            ? tree.digest(item.entries, item.source, options)
            : tree.digest(std::span(&item.file, 1), parent_path(item.file.entry.path), options);
    put(content.text());
  }
  return hasher.finish();
}

}  // namespace kiln

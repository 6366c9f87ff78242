#include "builder/registry/upload.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "builder/progress/progress.hh"
#include "builder/registry/answer.hh"
#include "builder/registry/patience.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

// N of "0-N" or "bytes=0-N" as number of bytes that are there; nullopt when it says nothing usable.
std::optional<uint64_t> received_bytes(const HttpResponse& answer) {
  std::string range = answer.headers.find("range").value_or("");
  if (range.starts_with("bytes=")) range.erase(0, 6);
  if (!range.starts_with("0-")) return std::nullopt;
  const auto last = parse_number<uint64_t>(std::string_view(range).substr(2));
  if (!last || *last >= (uint64_t{1} << 60)) return std::nullopt;
  // Of nothing registries say "0-0" (docker-registry) or "0--1"; one byte looks like that too, and
  // no chunk is that small.
  return *last == 0 ? 0 : *last + 1;
}

class Upload {
 public:
  Upload(RepositoryClient& client, const oci::Descriptor& blob, HttpUpload content,
         const UploadOptions& options, const std::function<void(uint64_t)>& progress)
      : client_(client),
        session_(client.session()),
        blob_(blob),
        content_(std::move(content)),
        options_(options),
        progress_(progress),
        what_("push of blob " + blob.digest.text() + " to " + client.name()),
        scope_(push_scope(client.path())) {
    if (!options.records.empty()) {
      const auto key = oci::Digest::sha256(client.name() + " " + blob.digest.text());
      record_ = options.records + "/" + std::string(key.hex());
    }
  }

  Delivery run() {
    bool go_on = recall();
    bool chunked = content_.size > 2 * options_.chunk;
    Patience patience;
    while (true) {
      try {
        if (!go_on) {
          if (start()) return Delivery::mounted;
          offset_ = 0;
        }
        if (chunked || offset_ > 0) {
          if (!send_chunks()) {
            chunked = go_on = false;  // this registry takes no chunks
            continue;
          }
          complete_empty();
        } else {
          complete_whole();
        }
        forget();
        return Delivery::sent;
      } catch (const HttpFailure& failure) {
        if (!may_pass(failure.kind()) || !patience.wait(session_.http())) throw;
      } catch (const Restart& restart) {
        if (!patience.wait(session_.http())) throw Error(restart.message);
      }
      const uint64_t before = offset_;
      go_on = ask_offset();
      if (go_on && offset_ > before) patience.renew();
    }
  }

 private:
  // The upload is lost at the registry's side; a new one may do.
  struct Restart {
    std::string message;
  };

  // True when the blob could be mounted, and is there now.
  bool start() {
    for (const std::string& sibling : options_.siblings) {
      std::string target = path();
      add_query(target, "mount", blob_.digest.text());
      add_query(target, "from", sibling);
      try {
        const HttpResponse answer = post(target, scope_ + " " + pull_scope(sibling));
        if (answer.status == 201) return true;
        if (answer.status == 202) return begin(target, answer);
      } catch (const HttpFailure&) {
        throw;
      } catch (const Error&) {
        // No token for the sibling: then it is sent.
      }
    }
    const HttpResponse answer = post(path(), scope_);
    if (answer.status != 202) client_.refuse(answer, what_);
    return begin(path(), answer);
  }

  bool begin(const std::string& target, const HttpResponse& answer) {
    move_to(target, answer);
    // distribution-spec: a registry may want chunks of a least size.
    least_chunk_ = parse_number<uint64_t>(answer.headers.find("oci-chunk-min-length").value_or(""))
                       .value_or(0);
    return false;
  }

  std::string path() const { return "/v2/" + client_.path() + "/blobs/uploads/"; }

  HttpResponse post(const std::string& target, const std::string& scopes) {
    HttpRequest request;
    request.method = "POST";
    request.upload = text_upload("");
    return session_.send(request, target, scopes);
  }

  void move_to(const std::string& target, const HttpResponse& answer) {
    const auto location = answer.headers.find("location");
    if (location)
      location_ = session_.resolve(target, *location);
    else if (location_.empty())
      throw Error(what_ + ": the registry names no place for it");
  }

  HttpUpload part(uint64_t from, uint64_t size) const {
    HttpUpload upload;
    upload.size = size;
    upload.read = [this, from](uint64_t offset, std::span<std::byte> into) {
      return content_.read(from + offset, into);
    };
    return upload;
  }

  // False when the registry refuses chunks altogether.
  bool send_chunks() {
    const uint64_t chunk = std::max(options_.chunk, least_chunk_);
    while (offset_ < content_.size) {
      const uint64_t size = std::min(chunk, content_.size - offset_);
      HttpRequest request;
      request.method = "PATCH";
      request.headers = {
          "Content-Type: application/octet-stream",
          "Content-Range: " + std::to_string(offset_) + "-" + std::to_string(offset_ + size - 1)};
      request.upload = part(offset_, size);
      request.on_sent = [&, from = offset_](uint64_t sent) { progress_(from + sent); };
      // Not repeated as it is: how far the registry came must be asked first.
      const HttpResponse answer = session_.send(request, location_, scope_, Session::Retry::no);
      if (answer.status == 416 || answer.status == 404 || may_pass(answer.status))
        throw Restart{what_ + ": status " + std::to_string(answer.status) + error_detail(answer)};
      if (answer.status != 202 && answer.status != 201 && answer.status != 204) {
        if (offset_ == 0 && answer.status != 401 && answer.status != 403) return false;
        client_.refuse(answer, what_);
      }
      move_to(location_, answer);
      const uint64_t there = received_bytes(answer).value_or(offset_ + size);
      if (there <= offset_ || there > offset_ + size)
        throw Error(what_ + ": the registry says that it has " + std::to_string(there) +
                    " bytes after " + std::to_string(offset_ + size));
      offset_ = there;
      remember();
    }
    return true;
  }

  void complete(HttpRequest request) {
    std::string target = location_;
    add_query(target, "digest", blob_.digest.text());
    request.method = "PUT";
    request.headers = {"Content-Type: application/octet-stream"};
    const HttpResponse answer =
        session_.send(std::move(request), target, scope_, Session::Retry::no);
    if (answer.status == 404 || answer.status == 416 || may_pass(answer.status))
      throw Restart{what_ + ": status " + std::to_string(answer.status) + error_detail(answer)};
    if (answer.status != 201 && answer.status != 204) {
      forget();
      client_.refuse(answer, what_);
    }
  }

  void complete_whole() {
    HttpRequest request;
    request.upload = part(0, content_.size);
    request.on_sent = [&](uint64_t sent) { progress_(sent); };
    complete(std::move(request));
  }

  void complete_empty() {
    HttpRequest request;
    request.upload = text_upload("");
    complete(std::move(request));
  }

  // How much of it is there; false when this upload is no more.
  bool ask_offset() {
    if (location_.empty()) return false;
    HttpRequest request;
    try {
      const HttpResponse answer = session_.send(request, location_, scope_, Session::Retry::no);
      const auto there = received_bytes(answer);
      if (answer.status != 204 || !there || *there == 0 || *there > content_.size) return false;
      move_to(location_, answer);
      offset_ = *there;
      return true;
    } catch (const Error&) {
      return false;  // whatever it was: a new upload will say
    }
  }

  bool recall() {
    if (record_.empty()) return false;
    const auto text = try_read_file_at(AT_FDCWD, record_, size_t{64} << 10);
    if (!text) return false;
    location_ = *text;
    if (ask_offset()) return true;
    location_.clear();
    forget();
    return false;
  }

  void remember() {
    if (!record_.empty() && offset_ < content_.size)
      write_file_atomic(AT_FDCWD, record_, location_, 0600);
  }

  void forget() {
    if (!record_.empty()) unlink(record_.c_str());
  }

  RepositoryClient& client_;
  Session& session_;
  const oci::Descriptor& blob_;
  HttpUpload content_;
  const UploadOptions& options_;
  const std::function<void(uint64_t)>& progress_;
  std::string what_;
  std::string scope_;
  std::string record_;
  std::string location_;
  uint64_t offset_ = 0;
  uint64_t least_chunk_ = 0;
};

}  // namespace

Delivery push_blob(RepositoryClient& client, const oci::Descriptor& blob,
                   const std::function<HttpUpload()>& open, const UploadOptions& options,
                   const std::function<void(uint64_t)>& progress) {
  if (client.has_blob(blob.digest)) return Delivery::present;
  return Upload(client, blob, open(), options, progress).run();
}

}  // namespace kiln

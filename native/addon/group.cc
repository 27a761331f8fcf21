#include "addon/group.h"

#include <cstring>
#include <utility>

#include "addon/convert.h"
#include "addon/mpi_library.h"
#include "addon/nccl_library.h"
#include "addon/objects.h"
#include "addon/wrap.h"
#include "comm/collectives.h"

namespace apollo::addon {
namespace {

using comm::Collectives;
using comm::Communicator;

comm::Wire wire_from(const Napi::Value& value) {
  const std::string name = value.ToString();
  require(name == "f32" || name == "bf16", "values travel as 'f32' or 'bf16'; got '" + name + "'");
  return name == "f32" ? comm::Wire::F32 : comm::Wire::BF16;
}

// A list of buffers, and of the elements at which each rank's part of them begins and the last one's ends; without
// that list they are divided equally.
std::vector<comm::Divided> divided_from(const Napi::Value& buffers, const Napi::Value& bounds, int ranks) {
  std::vector<comm::Divided> list;
  for (auto& buffer : BufferObject::buffers_of(buffers.As<Napi::Array>(), "each buffer of a group")) {
    if (bounds.IsUndefined()) {
      list.push_back(comm::divided_equally(std::move(buffer), ranks));
      continue;
    }
    const Napi::Array own = bounds.As<Napi::Array>().Get(static_cast<std::uint32_t>(list.size())).As<Napi::Array>();
    comm::Divided divided{std::move(buffer), {}};
    for (std::uint32_t i = 0; i < own.Length(); ++i) divided.bounds.push_back(size_from(own.Get(i), "a border"));
    list.push_back(std::move(divided));
  }
  return list;
}

std::vector<comm::Bucket> buckets_of(const std::vector<comm::Divided>& buffers, const comm::Channel& channel) {
  return comm::buckets_of(buffers, channel.size(), channel.collectives().bucket_elements());
}

using Cancelled = std::function<bool()>;

// Creates the communicator of a device, with the libraries it takes, which are loaded now.
std::function<std::unique_ptr<Communicator>(Cancelled)> communicator_for(Backend& backend, int rank, int size,
                                                                         std::string id) {
  if (backend.in_host_memory()) return mpi_library().join;
  const comm::NcclApi& nccl = nccl_library();
  nccl.library();
  const comm::Api* mpi = id.empty() ? &mpi_library() : nullptr;
  return [&nccl, mpi, place = comm::NcclPlace{backend.index(), backend.stream(), rank, size, std::move(id)}](
             const Cancelled& cancelled) mutable {
    std::unique_ptr<Communicator> launcher;
    if (mpi != nullptr) {
      launcher = mpi->join(cancelled);
      place.rank = launcher->rank();
      place.size = launcher->size();
      place.id = comm::broadcast(*launcher, place.rank == 0 ? nccl.unique_id() : "", 0);
    }
    return nccl.join(place, std::move(launcher), cancelled);
  };
}

}  // namespace

Napi::Function GroupObject::define(Napi::Env env) {
  return DefineClass(
      env, kName,
      {property<GroupObject, &GroupObject::rank>("rank"), property<GroupObject, &GroupObject::size>("size"),
       InstanceMethod<&GroupObject::sum>("sum"), InstanceMethod<&GroupObject::broadcast>("broadcast"),
       InstanceMethod<&GroupObject::barrier>("barrier"), InstanceMethod<&GroupObject::all_reduce>("allReduce"),
       InstanceMethod<&GroupObject::reduce_scatter>("reduceScatter"),
       InstanceMethod<&GroupObject::all_gather>("allGather"),
       InstanceMethod<&GroupObject::broadcast_buffer>("broadcastBuffer"),
       InstanceMethod<&GroupObject::sum_doubles>("sumDoubles"), InstanceMethod<&GroupObject::collect>("collect"),
       InstanceMethod<&GroupObject::exchange>("exchange"), InstanceMethod<&GroupObject::close>("close")});
}

GroupObject::GroupObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Contents contents = contents_of<GroupObject>(info);
  session_ = std::move(contents.session);
  channel_ = std::move(contents.channel);
}

Napi::Value GroupObject::join(Napi::Env env, const std::shared_ptr<Session>& session, int rank, int size,
                              std::string id) {
  auto join = communicator_for(session->device().backend(), rank, size, std::move(id));
  auto channel = std::make_shared<std::shared_ptr<comm::Channel>>();
  return session->call(
      env,
      [join = std::move(join), channel, device = session->shared_device()] {
        const auto cancelled = [device] { return device->cancelled(); };
        *channel = std::make_shared<comm::Channel>([&] { return join(cancelled); }, cancelled);
      },
      [channel, session](Napi::Env js) {
        return make<GroupObject>(js, &State::group, {session, *channel});
      });
}

Napi::Value GroupObject::rank(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), channel_->rank());
}

Napi::Value GroupObject::size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), channel_->size());
}

Napi::Value GroupObject::queued(Napi::Env env, std::function<void(Communicator&)> work) {
  return session_->call(
      env,
      [work = std::move(work), channel = channel_] {
        channel->run([&](Communicator& group, Collectives&) { work(group); });
      },
      [](Napi::Env js) { return js.Undefined(); });
}

Napi::Value GroupObject::counted(Napi::Env env, std::function<std::size_t(Collectives&)> work,
                                 const Napi::Value& stopped) {
  const bool flagged = !stopped.IsEmpty() && !stopped.IsUndefined();
  const std::atomic<std::int32_t>* flag = flagged ? stop_flag(stopped, "stopped") : nullptr;
  auto count = std::make_shared<std::size_t>(0);
  return session_->call(
      env,
      [work = std::move(work), flag, count, channel = channel_] {
        if (flag != nullptr && flag->load() != kRunning) throw Error("the run was cancelled", "APOLLO_ABORTED");
        const auto mark = channel->collectives().mark();
        channel->run([&](Communicator&, Collectives& collectives) {
          collectives.after(mark);
          *count = work(collectives);
          collectives.complete();
        });
      },
      [count](Napi::Env js) { return Napi::Number::New(js, static_cast<double>(*count)); }, stopped);
}

Napi::Value GroupObject::sum(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto values = std::make_shared<std::vector<double>>(numbers_from(info[0]));
    return session_->call(
        info.Env(),
        [values, channel = channel_] {
          channel->run([&](Communicator& group, Collectives&) { group.all_reduce(std::span(*values)); });
        },
        [values](Napi::Env env) { return to_array(env, *values); });
  });
}

Napi::Value GroupObject::broadcast(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto text = std::make_shared<std::string>(info[0].ToString().Utf8Value());
    const int root = int_from(info[1], "broadcast: root");
    return session_->call(
        info.Env(),
        [text, root, channel = channel_] {
          channel->run(
              [&](Communicator& group, Collectives&) { *text = comm::broadcast(group, std::move(*text), root); });
        },
        [text](Napi::Env env) { return Napi::String::New(env, *text); });
  });
}

Napi::Value GroupObject::barrier(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return queued(info.Env(), [](Communicator& group) { group.barrier(); }); });
}

Napi::Value GroupObject::all_reduce(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto divided = divided_from(info[0], info.Env().Undefined(), channel_->size());
    return counted(info.Env(),
                   [buckets = buckets_of(divided, *channel_), wire = wire_from(info[1])](Collectives& group) {
                     std::size_t sent = 0;
                     for (const auto& bucket : buckets) sent += group.all_reduce(bucket, wire, 1.0f);
                     return sent;
                   });
  });
}

Napi::Value GroupObject::reduce_scatter(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto divided = divided_from(info[0], info[1], channel_->size());
    return counted(info.Env(),
                   [buckets = buckets_of(divided, *channel_), wire = wire_from(info[2])](Collectives& group) {
                     std::size_t sent = 0;
                     for (const auto& bucket : buckets) sent += group.reduce_scatter(bucket, wire, 1.0f);
                     return sent;
                   });
  });
}

Napi::Value GroupObject::all_gather(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto divided = divided_from(info[0], info[1], channel_->size());
    return counted(
        info.Env(),
        [buckets = buckets_of(divided, *channel_)](Collectives& group) {
          std::size_t sent = 0;
          for (const auto& bucket : buckets) sent += group.all_gather(bucket, comm::Wire::F32);
          return sent;
        },
        info[2]);
  });
}

Napi::Value GroupObject::broadcast_buffer(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto buffers = BufferObject::buffers_of(info[0].As<Napi::Array>(), "broadcastBuffer: each buffer");
    const int root = int_from(info[1], "broadcastBuffer: root");
    return counted(info.Env(), [buffers, root](Collectives& group) {
      for (const auto& buffer : buffers) group.broadcast(*buffer, root);
      return std::size_t{0};
    });
  });
}

Napi::Value GroupObject::sum_doubles(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto buffer = unwrap<BufferObject>(info[0], "sumDoubles: the buffer").buffer();
    require(buffer->dtype() == DType::I32 && buffer->elements() % 2 == 0, "sumDoubles: the bits of f64 in an i32");
    return counted(
        info.Env(),
        [buffer](Collectives& group) {
          group.sum_doubles(*buffer);
          return std::size_t{0};
        },
        info[1]);
  });
}

Napi::Value GroupObject::collect(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto own = info[0].IsUndefined() ? nullptr : unwrap<BufferObject>(info[0], "collect: the buffer").buffer();
    std::vector<std::size_t> lengths;
    std::size_t total = 0;
    const Napi::Array counts = info[1].As<Napi::Array>();
    for (std::uint32_t i = 0; i < counts.Length(); ++i) {
      lengths.push_back(size_from(counts.Get(i), "collect: a count") * sizeof(float));
      total += lengths.back();
    }
    const int me = channel_->rank(), ranks = channel_->size();
    require(lengths.size() == static_cast<std::size_t>(ranks) &&
                (own ? own->dtype() == DType::F32 && own->bytes() == lengths[me] : lengths[me] == 0),
            "collect: the length of this rank's f32 buffer");
    const bool everywhere = info[2].IsUndefined();
    const int root = everywhere ? me : int_from(info[2], "collect: root");
    const bool receives = root == me;
    Napi::TypedArray values = typed_array(info.Env(), DType::F32, receives ? total : 0);
    auto* to = static_cast<std::byte*>(values.ArrayBuffer().Data());
    return session_->call_filling(
        info.Env(),
        [own, lengths, to, me, ranks, everywhere, root, receives, session = session_.get(), channel = channel_] {
          Backend& backend = session->device().backend();
          std::vector<std::byte> downloaded;
          const auto* from = own ? static_cast<const std::byte*>(own->data()) : nullptr;
          if (from != nullptr && !backend.in_host_memory()) {
            downloaded.resize(lengths[me]);
            backend.download(downloaded.data(), from, lengths[me]);
            from = downloaded.data();
          }
          channel->run([&](Communicator& group, Collectives&) {
            std::vector<std::span<const std::byte>> send;
            std::vector<std::span<std::byte>> receive;
            std::size_t at = 0;
            for (int r = 0; r < ranks; ++r) {
              const bool sends = r != me && (everywhere || r == root);
              send.emplace_back(from, sends ? lengths[me] : 0);
              receive.emplace_back(to + at, receives && r != me ? lengths[r] : 0);
              if (receives && r == me && lengths[me] != 0) std::memcpy(to + at, from, lengths[me]);
              if (receives) at += lengths[r];
            }
            group.all_to_all(send, receive);
          });
        },
        values);
  });
}

Napi::Value GroupObject::exchange(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Object options = info[1].As<Napi::Object>();
    comm::ExchangeSettings settings;
    settings.gradients = divided_from(info[0], options.Get("bounds"), channel_->size());
    settings.shared = BufferObject::buffers_of(options.Get("shared").As<Napi::Array>(), "exchange: each shared buffer");
    settings.gather = options.Get("bounds").IsUndefined();
    settings.wire = wire_from(options.Get("precision"));
    settings.weight = options.Get("weight").ToNumber().DoubleValue();
    settings.sums = numbers_from(options.Get("sums"));
    settings.stopped = stop_flag(options.Get("stopped"), "exchange: stopped");
    settings.refused = stop_flag(options.Get("refused"), "exchange: refused");
    settings.before = stop_flag(options.Get("before"), "exchange: before");
    auto made = std::make_shared<comm::Exchange>(*channel_, std::move(settings));
    // Queued only: the promise of its end is that of finish().
    session_->device().submit([made, channel = channel_] { made->start(); });
    return make<ExchangeObject>(info.Env(), &State::exchange, {session_, channel_, made, options});
  });
}

Napi::Value GroupObject::close(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return queued(info.Env(), [](Communicator& group) { group.finalize(); }); });
}

// ---- NativeExchange ----

Napi::Function ExchangeObject::define(Napi::Env env) {
  return DefineClass(env, kName, {InstanceMethod<&ExchangeObject::finish>("finish")});
}

ExchangeObject::ExchangeObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Contents contents = contents_of<ExchangeObject>(info);
  session_ = std::move(contents.session);
  channel_ = std::move(contents.channel);
  exchange_ = std::move(contents.exchange);
  options_ = Napi::Persistent(contents.options);
}

Napi::Value ExchangeObject::finish(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto result = std::make_shared<comm::ExchangeResult>();
    // Also of a lost device: the channel's thread waits for it.
    return session_->call_always(
        info.Env(), [exchange = exchange_, channel = channel_, result] { *result = exchange->finish(); },
        [result](Napi::Env env) {
          Napi::Object out = Napi::Object::New(env);
          out.Set("weight", result->weight);
          out.Set("sums", to_array(env, result->sums));
          out.Set("stopped", result->stopped_ranks);
          out.Set("failed", result->failed_ranks);
          out.Set("bytes", static_cast<double>(result->bytes));
          out.Set("busyMs", result->busy_ms);
          out.Set("uncoveredMs", result->uncovered_ms);
          return out;
        },
        info.This());  // keeps the flags alive
  });
}

}  // namespace apollo::addon

// The kernels of whole layers, for the CPU in float32: elsewhere the functions of standard ops are as fast.
#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/huge_pages.h"
#include "modulation/modulation.h"
#include "onnxruntime/node.h"
#include "styled_conv/styled_conv.h"
#include "to_levels/to_levels.h"
#include "to_rgb/to_rgb.h"

namespace fingergen {

// What scales the input channels of a layer: an affine map of one of an image's ws, whose parameters are two of the
// inputs; or, of older graphs, the second input itself.
class Styles {
 public:
  static constexpr const char* kWanted = "style [N, I] or w [N, L, D]";
  static constexpr const char* kParametersWanted = "modulation [D, I], modulation_bias [I]";

  Styles(Ort::KernelContext& context, size_t modulation, int64_t index)
      : context_(context), modulation_(modulation), index_(index), given_(shape(context, kGiven)) {
    affine_ = has(context, modulation) && has(context, modulation + 1);
  }

  bool fit(int64_t n, int64_t inputs) const {
    if (!affine_) return given_ == Shape{n, inputs};
    return given_.size() == 3 && given_[0] == n && index_ >= 0 && index_ < given_[1] && maps(modulation_, inputs) &&
           shape(context_, modulation_ + 1) == Shape{inputs};
  }

  // Whether an input is a matrix from w to so many outputs, or a vector to one.
  bool maps(size_t weight, int64_t outputs) const {
    return affine_ && given_.size() == 3 && shape(context_, weight) == Shape{given_[2], outputs};
  }
  bool maps_to_one(size_t weight) const {
    return affine_ && given_.size() == 3 && shape(context_, weight) == Shape{given_[2]};
  }

  std::string found() const { return text(given_); }
  std::string parameters_found() const {
    if (!affine_) return "none";
    return text(shape(context_, modulation_)) + ", " + text(shape(context_, modulation_ + 1)) + " and style_index " +
           std::to_string(index_);
  }

  // [n, inputs]; alive as long as this.
  const float* get(int64_t n, int64_t inputs) {
    if (!affine_) return data<float>(context_.GetInput(kGiven));
    made_ = mapped(n, inputs, modulation_, data<float>(context_.GetInput(modulation_ + 1)));
    return made_.data();
  }

  // w * weight + bias, [n, outputs]; `weight`: an input that `maps`.
  std::vector<float> mapped(int64_t n, int64_t outputs, size_t weight, const float* bias) const {
    std::vector<float> result(n * outputs);
    const float* w = data<float>(context_.GetInput(kGiven)) + index_ * given_[2];
    modulation_cpu({n, given_[1] * given_[2], given_[2], outputs, w, data<float>(context_.GetInput(weight)), bias,
                    result.data()});
    return result;
  }

 private:
  static constexpr size_t kGiven = 1;

  Ort::KernelContext& context_;
  size_t modulation_;
  int64_t index_;
  Shape given_;
  bool affine_;
  std::vector<float> made_;
};

template <bool Up>
class StyledConvKernel {
 public:
  static constexpr const char* kName = Up ? "StyledUpConv" : "StyledConv";
  static constexpr size_t kInputs = Up ? 10 : 9;
  // Older graphs add to the strength of the noise what w says of it; before, it was the same for every w; and before that,
  // they computed the style and multiplied the noise.
  static constexpr size_t kOptional = 4;
  static constexpr bool kInPlace = false;

  explicit StyledConvKernel(const OrtKernelInfo* info) {
    const Attributes attributes(kName, info);
    op_.up = Up;
    op_.negative_slope = attributes.get("negative_slope", op_.negative_slope);
    op_.scale = attributes.get("scale", op_.scale);
    op_.epsilon = attributes.get("epsilon", op_.epsilon);
    style_index_ = attributes.get("style_index", style_index_);
    strongest_ = attributes.get("strongest", strongest_);
    int constant = 0;
    const OrtValue* weight = nullptr;
    Ort::ThrowOnError(Ort::GetApi().KernelInfoGetConstantInput_tensor(info, kWeight, &constant, &weight));
    if (constant) weights_ = transformed(Ort::ConstValue(weight));
  }

  void compute(Ort::KernelContext& context) const {
    const Shape x = shape(context, 0), weight = shape(context, kWeight), noise = shape(context, 3),
                bias = shape(context, 4);
    Styles styles(context, kModulation, style_index_);
    const bool ranks = x.size() == 4 && weight.size() == 4 && noise.size() == 4;
    const bool has_strength = has(context, kStrength), strength_depends = has(context, kNoiseExponent);
    const int64_t n = ranks ? x[0] : 0, height = ranks ? op_.out(x[2]) : 0, width = ranks ? op_.out(x[3]) : 0;
    if (!ranks || !styles.fit(n, x[1]) || weight[1] != x[1] || weight[2] != 3 || weight[3] != 3 ||
        (noise[0] != 1 && noise[0] != n) || Shape(noise.begin() + 1, noise.end()) != Shape{1, height, width} ||
        bias != Shape{weight[0]} || (Up && shape(context, kTaps) != Shape{4}) ||
        (has_strength && shape(context, kStrength) != Shape{1}) ||
        (strength_depends &&
         !(strongest_ == 0 ? styles.maps(kNoiseExponent, 1) : styles.maps_to_one(kNoiseExponent)))) {
      fail(kName, std::string("wants x [N, I, H, W], ") + Styles::kWanted + ", weight [O, I, 3, 3], noise [1 or N, 1, H', "
                      "W'], bias [O], " + (Up ? "taps [4], " : "") + "strength [1], " + Styles::kParametersWanted +
                      ", noise_exponent [D], got " + text(x) + ", " + styles.found() + ", " + text(weight) + ", " + text(noise) + ", " +
                      text(bias) + ", " + (Up ? text(shape(context, kTaps)) + ", " : "") +
                      (has_strength ? text(shape(context, kStrength)) : "none") + ", " + styles.parameters_found() +
                      ", " + (strength_depends ? text(shape(context, kNoiseExponent)) : "none"));
    }
    float* y = static_cast<float*>(context.GetOutput(0, {n, weight[0], height, width}).GetTensorMutableRawData());
    if (product(x, 0) == 0 || weight[0] == 0) return;
    use_huge_pages(y, sizeof(float) * n * weight[0] * height * width);
    const auto array = [&context](size_t i) { return data<float>(context.GetInput(i)); };
    const std::vector<float> strength = strengths(context, styles, n);
    styled_conv_cpu(op_, weights_ ? *weights_ : *transformed(context.GetInput(kWeight)),
                    {n, x[2], x[3], noise[0], array(0), styles.get(n, x[1]), array(3), array(4),
                     Up ? array(kTaps) : nullptr, strength.data(), y},
                    on_threads_of(context));
  }

 private:
  static constexpr size_t kWeight = 2, kTaps = 5, kStrength = Up ? 6 : 5, kModulation = kStrength + 1,
                          kNoiseExponent = kModulation + 2;

  // Of the noise, [n].
  std::vector<float> strengths(Ort::KernelContext& context, const Styles& styles, int64_t n) const {
    if (!has(context, kStrength)) return std::vector<float>(n, 1.0f);
    const float* const strength = data<float>(context.GetInput(kStrength));
    if (!has(context, kNoiseExponent)) return std::vector<float>(n, *strength);
    if (strongest_ == 0) return styles.mapped(n, 1, kNoiseExponent, strength);
    const float zero = 0;
    std::vector<float> result = styles.mapped(n, 1, kNoiseExponent, &zero);
    for (float& each : result) each = *strength * grown(each, strongest_);
    return result;
  }

  // In double: so the rounding of exp, which differs between machines, does not show.
  static float grown(double exponent, double strongest) {
    return static_cast<float>(strongest / (1 + (strongest - 1) * std::exp(-exponent)));
  }

  std::shared_ptr<const StyledConvWeights> transformed(const Ort::ConstValue& weight) const {
    const Shape found = weight.GetTensorTypeAndShapeInfo().GetShape();
    if (found.size() != 4 || product(found, 2) != 9) fail(kName, "wants weight [O, I, 3, 3], got " + text(found));
    return StyledConvWeights::of(op_, data<float>(weight), found[0], found[1]);
  }

  StyledConv op_;
  int64_t style_index_ = 0;
  float strongest_ = 0;  // times its strength that w can make noise; 0: w adds to it
  std::shared_ptr<const StyledConvWeights> weights_;
};

template <typename Device, typename T>
class ToRGBKernel {
 public:
  static constexpr const char* kName = "ToRGB";
  static constexpr size_t kInputs = 9;
  static constexpr size_t kOptional = 2;
  static constexpr bool kInPlace = false;

  explicit ToRGBKernel(const OrtKernelInfo* info) {
    style_index_ = Attributes(kName, info).get("style_index", style_index_);
  }

  void compute(Ort::KernelContext& context) const {
    const Shape x = shape(context, 0), weight = shape(context, 2), image = shape(context, 4);
    Styles styles(context, kModulation, style_index_);
    const bool ranks = x.size() == 4 && weight.size() == 2 && image.size() == 4;
    const int64_t n = ranks ? x[0] : 0, side = ranks ? image[2] : 0, channels = ranks ? weight[0] : 0;
    if (!ranks || x != Shape{n, weight[1], 2 * side, 2 * side} || !styles.fit(n, weight[1]) ||
        shape(context, 3) != Shape{channels} || image != Shape{n, channels, side, side} ||
        shape(context, 5) != Shape{4} || shape(context, 6) != Shape{2 * side}) {
      fail(kName, std::string("wants x [N, I, 2S, 2S], ") + Styles::kWanted + ", weight [C, I], bias [C], image [N, C, S, "
                      "S], taps [4], border [2S], " + Styles::kParametersWanted + ", got " + text(x) + ", " +
                      styles.found() + ", " + text(weight) + ", " + text(shape(context, 3)) + ", " + text(image) + ", " +
                      text(shape(context, 5)) + ", " + text(shape(context, 6)) + ", " + styles.parameters_found());
    }
    float* y = static_cast<float*>(context.GetOutput(0, {n, channels, x[2], x[3]}).GetTensorMutableRawData());
    if (product(image, 0) == 0) return;
    const auto array = [&context](size_t i) { return data<float>(context.GetInput(i)); };
    to_rgb_cpu({n, channels, weight[1], side, array(0), styles.get(n, weight[1]), array(2), array(3), array(4), array(5),
                array(6), y},
               on_threads_of(context));
  }

 private:
  static constexpr size_t kModulation = 7;

  int64_t style_index_ = 0;
};

template <typename Device, typename T>
class ToLevelsKernel {
 public:
  static constexpr const char* kName = "ToLevels";
  static constexpr size_t kInputs = 1;
  static constexpr size_t kOptional = 0;
  static constexpr bool kInPlace = false;

  explicit ToLevelsKernel(const OrtKernelInfo*) {}

  void compute(Ort::KernelContext& context) const {
    const Shape x = shape(context, 0);
    uint8_t* y = static_cast<uint8_t*>(context.GetOutput(0, x).GetTensorMutableRawData());
    to_levels_cpu(data<float>(context.GetInput(0)), y, product(x, 0), on_threads_of(context));
  }
};

template <typename Device, typename T>
using PlainStyledConvKernel = StyledConvKernel<false>;
template <typename Device, typename T>
using StyledUpConvKernel = StyledConvKernel<true>;

}  // namespace fingergen

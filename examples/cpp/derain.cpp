// Removes rain with ONNX Runtime, from one PPM picture to another: derain derain.onnx rainy.ppm dry.ppm
//
//   derain export onnx
//   g++ -std=c++17 -O2 examples/cpp/derain.cpp -I/usr/include/onnxruntime -lonnxruntime -o derain_cpp
//   ./derain_cpp derain.onnx rainy.ppm dry.ppm
//
// PPM (P6, 8 bits) needs no library; `convert rainy.jpg rainy.ppm` of ImageMagick or Pillow's save make one.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

struct Picture {
    int64_t width = 0, height = 0;
    std::vector<uint8_t> pixels;  // RGB, row by row
};

Picture read_ppm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string magic;
    int64_t largest = 0;
    Picture picture;
    if (!(file >> magic >> picture.width >> picture.height >> largest) || magic != "P6" || largest != 255 ||
        picture.width < 1 || picture.height < 1 || picture.width > 65535 || picture.height > 65535)
        throw std::runtime_error(path + ": is no 8-bit PPM picture (P6, without comments)");
    file.get();
    picture.pixels.resize(3 * picture.width * picture.height);
    if (!file.read(reinterpret_cast<char*>(picture.pixels.data()), picture.pixels.size()))
        throw std::runtime_error(path + ": is cut short");
    return picture;
}

void write_ppm(const std::string& path, const Picture& picture) {
    std::ofstream file(path, std::ios::binary);
    file << "P6\n" << picture.width << ' ' << picture.height << "\n255\n";
    file.write(reinterpret_cast<const char*>(picture.pixels.data()), picture.pixels.size());
    if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
}

Picture derain(Ort::Session& network, const Picture& rainy) {
    const int64_t area = rainy.width * rainy.height;
    std::vector<float> planes(3 * area);  // NCHW in [0, 1]
    for (int64_t i = 0; i < 3 * area; ++i) planes[i % 3 * area + i / 3] = rainy.pixels[i] / 255.0f;

    const int64_t shape[] = {1, 3, rainy.height, rainy.width};
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const auto input = Ort::Value::CreateTensor<float>(memory, planes.data(), planes.size(), shape, 4);
    const char *inputs[] = {"rainy"}, *outputs[] = {"background"};
    const auto layers = network.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 1);

    const float* background = layers[0].GetTensorData<float>();
    Picture dry = rainy;
    for (int64_t i = 0; i < 3 * area; ++i)
        dry.pixels[i] = uint8_t(std::clamp(background[i % 3 * area + i / 3], 0.0f, 1.0f) * 255.0f + 0.5f);
    return dry;
}

int main(int count, char** words) try {
    if (count != 4) throw std::runtime_error("usage: derain derain.onnx rainy.ppm dry.ppm");
    Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "derain");
    Ort::Session network(environment, words[1], Ort::SessionOptions{});
    write_ppm(words[3], derain(network, read_ppm(words[2])));
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}

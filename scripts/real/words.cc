// Counts words in an ordered map and writes them to a stream.
#include <iostream>
#include <map>
#include <sstream>
#include <string>

int main() {
    std::map<std::string, int> counts;
    for (int round = 0; round < 20000; round++) {
        std::istringstream text("word" + std::to_string(round % 997) + " wall");
        for (std::string word; text >> word;) counts[word]++;
    }
    std::cout << counts.size() << " words, wall " << counts["wall"] << std::endl;
}
